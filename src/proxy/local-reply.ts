/**
 * Answers that a proxy gives itself: clear text that names the host, the reason and the way out, the catalogue's code
 * in `isthmus-error`, and Envoy's response flag for logs and metrics.
 */
import { CATALOGUE, type ErrorCode } from '../runtime/catalogue.ts'
import type { HeaderList, ResponseHead } from './message.ts'
import type { ResponseFlag } from './record.ts'

export interface Refusal {
  readonly status: number
  readonly code: ErrorCode
  readonly flag: ResponseFlag
}

export const REFUSALS = {
  connect: { status: 405, code: 'CONNECT_UNSUPPORTED', flag: 'LR' },
  upgrade: { status: 403, code: 'UPGRADE_UNSUPPORTED', flag: 'LR' },
  /** Envoy's flag and words. */
  upgradeFailed: { status: 403, code: 'UPGRADE_UNSUPPORTED', flag: '-' },
  forbidden: { status: 403, code: 'TARGET_FORBIDDEN', flag: 'RBAC' },
  path: { status: 400, code: 'PATH_REFUSED', flag: 'LR' },
  requestTimeout: { status: 408, code: 'STREAM_DURATION', flag: 'SI' },
  host: { status: 502, code: 'ROUTE_UNKNOWN', flag: 'NR' },
  route: { status: 404, code: 'ROUTE_UNKNOWN', flag: 'NR' },
  denied: { status: 403, code: 'CALLER_DENIED', flag: 'RBAC' },
  unauthorized: { status: 403, code: 'AUTHORIZER_UNAVAILABLE', flag: 'UAEX' },
  limiterFailed: { status: 500, code: 'LIMITER_UNAVAILABLE', flag: 'RLSE' },
  bodyTooLarge: { status: 413, code: 'BODY_TOO_LARGE', flag: '-' },
  policy: { status: 403, code: 'POLICY_DENIED', flag: 'RBAC' },
  cluster: { status: 503, code: 'CLUSTER_UNKNOWN', flag: 'NC' },
  overloaded: { status: 503, code: 'PROXY_OVERLOADED', flag: 'OM' },
  circuitOpen: { status: 503, code: 'CIRCUIT_OPEN', flag: 'CB' },
  overflow: { status: 503, code: 'UPSTREAM_OVERFLOW', flag: 'UO' },
  none: { status: 503, code: 'UPSTREAM_NONE', flag: 'UH' },
  connectFailed: { status: 503, code: 'UPSTREAM_CONNECT', flag: 'UF' },
  lost: { status: 503, code: 'UPSTREAM_LOST', flag: 'UC' },
  protocol: { status: 502, code: 'UPSTREAM_PROTOCOL', flag: 'UPE' },
  rateLimited: { status: 429, code: 'RATE_LIMITED', flag: 'RL' },
  idle: { status: 504, code: 'STREAM_IDLE', flag: 'SI' },
  idleUpload: { status: 408, code: 'STREAM_IDLE', flag: 'SI' },
  duration: { status: 504, code: 'STREAM_DURATION', flag: 'DT' },
  durationUpload: { status: 408, code: 'STREAM_DURATION', flag: 'DT' },
  timeout: { status: 504, code: 'UPSTREAM_TIMEOUT', flag: 'UT' },
} as const satisfies Record<string, Refusal>

/** An answer this proxy gives itself, complete. `flag` is for log and metrics. */
export interface LocalAnswer {
  readonly kind: 'answer'
  readonly head: ResponseHead
  readonly body: Buffer
  readonly flag: ResponseFlag
  readonly detail: string
  /** What a gRPC client is told; absent: what stands for the HTTP status. */
  readonly grpcStatus?: number
  /** Of a refusal of our own. */
  readonly code?: ErrorCode
}

const NO_BODY = Buffer.alloc(0)

export function localReply(refusal: Refusal, authority: string, detail: string): LocalAnswer {
  const { title, hint } = CATALOGUE[refusal.code]
  // `authority` is what the client wrote; anything but printable ASCII stays out of our text.
  const host = authority.replaceAll(/[^\x21-\x7e]/g, '?').slice(0, 300)
  const summary = detail === '' ? title : `${title.replace(/\.$/, '')}: ${detail}`
  const body = Buffer.from(`isthmus: ${host}: ${summary}\n${hint}\n`)
  const headers = [
    'content-type',
    'text/plain; charset=utf-8',
    'isthmus-error',
    refusal.code,
    'isthmus-flags',
    refusal.flag,
  ]
  if (refusal.status === 405) headers.push('allow', 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE')
  return {
    kind: 'answer',
    head: { status: refusal.status, headers, bodyLength: body.length },
    body,
    flag: refusal.flag,
    detail: summary,
    code: refusal.code,
  }
}

/** A redirect or a configured answer: nobody failed, so it carries no error. */
export function configuredReply(status: number, headers: HeaderList, body: Buffer = NO_BODY): LocalAnswer {
  return { kind: 'answer', head: { status, headers, bodyLength: body.length }, body, flag: '-', detail: '' }
}
