/**
 * Answers that a proxy gives itself: clear text that names the host, the reason and the way out, the catalogue's code
 * in `isthmus-error`, and Envoy's response flag for logs and metrics.
 */
import { CATALOGUE, type ErrorCode } from '../runtime/catalogue.ts'
import type { ResponseHead } from './message.ts'
import type { ResponseFlag } from './record.ts'

export interface Refusal {
  readonly status: number
  readonly code: ErrorCode
  readonly flag: ResponseFlag
}

export const REFUSALS = {
  connect: { status: 405, code: 'CONNECT_UNSUPPORTED', flag: 'LR' },
  upgrade: { status: 501, code: 'UPGRADE_UNSUPPORTED', flag: 'LR' },
  forbidden: { status: 403, code: 'TARGET_FORBIDDEN', flag: 'RBAC' },
  host: { status: 502, code: 'ROUTE_UNKNOWN', flag: 'NR' },
  route: { status: 404, code: 'ROUTE_UNKNOWN', flag: 'NR' },
  denied: { status: 403, code: 'CALLER_DENIED', flag: 'RBAC' },
  cluster: { status: 503, code: 'CLUSTER_UNKNOWN', flag: 'NC' },
  overflow: { status: 503, code: 'UPSTREAM_OVERFLOW', flag: 'UO' },
  none: { status: 503, code: 'UPSTREAM_NONE', flag: 'UH' },
  connectFailed: { status: 503, code: 'UPSTREAM_CONNECT', flag: 'UF' },
  lost: { status: 503, code: 'UPSTREAM_LOST', flag: 'UC' },
  protocol: { status: 502, code: 'UPSTREAM_PROTOCOL', flag: 'UPE' },
  timeout: { status: 504, code: 'UPSTREAM_TIMEOUT', flag: 'UT' },
} as const satisfies Record<string, Refusal>

export interface LocalReply {
  readonly head: ResponseHead
  readonly body: Buffer
  readonly detail: string
}

export function localReply(refusal: Refusal, authority: string, detail: string): LocalReply {
  const { title, hint } = CATALOGUE[refusal.code]
  // `authority` is what the client wrote; anything but printable ASCII stays out of our text.
  const host = authority.replaceAll(/[^\x21-\x7e]/g, '?').slice(0, 300)
  const summary = detail === '' ? title : `${title.replace(/\.$/, '')}: ${detail}`
  const body = Buffer.from(`isthmus: ${host}: ${summary}\n${hint}\n`)
  return {
    head: {
      status: refusal.status,
      headers: [
        'content-type',
        'text/plain; charset=utf-8',
        'isthmus-error',
        refusal.code,
        'isthmus-flags',
        refusal.flag,
        ...(refusal.status === 405 ? ['allow', 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE'] : []),
      ],
      bodyLength: body.length,
    },
    body,
    detail: summary,
  }
}
