/**
 * The wire contract's CONNECT, read strictly: which service, which endpoints to avoid, or the answer it deserves.
 * Pure; whether the service exists for the caller is east-west.ts's to say.
 */
import { parseHost } from '../src/model/sni.ts'
import type { ErrorCode } from '../src/runtime/catalogue.ts'
import { headerListOf, headerOf, type RequestHead } from '../src/proxy/message.ts'

export const WIRE_VERSION = '1'
const AVOID_IDS_MAX = 32
const ENDPOINT_ID = /^[A-Za-z0-9]{1,64}$/

export interface TunnelRequest {
  readonly authority: string
  readonly avoid: ReadonlySet<string>
  /** That endpoint or none. */
  readonly endpointId: string | undefined
}

export interface TunnelRefusal {
  readonly status: 400 | 404 | 429 | 502 | 503 | 504 | 505
  readonly code: ErrorCode
}

export const TUNNEL_REFUSALS = {
  malformed: { status: 400, code: 'TUNNEL_MALFORMED' },
  unknown: { status: 404, code: 'TUNNEL_UNKNOWN' },
  limit: { status: 429, code: 'TUNNEL_LIMIT' },
  refused: { status: 502, code: 'TUNNEL_REFUSED' },
  noneReady: { status: 503, code: 'TUNNEL_NONE_READY' },
  timeout: { status: 504, code: 'TUNNEL_TIMEOUT' },
  version: { status: 505, code: 'TUNNEL_VERSION' },
} as const satisfies Record<string, TunnelRefusal>

export type TunnelRequestResult =
  | { readonly ok: true; readonly request: TunnelRequest }
  | { readonly ok: false; readonly refusal: TunnelRefusal }

export function readTunnelRequest(head: RequestHead): TunnelRequestResult {
  if (head.method !== 'CONNECT' || head.protocol !== '') return refuse('malformed')
  const version = headerOf(head.headers, 'isthmus-version')
  if (version !== WIRE_VERSION) return refuse(version === undefined ? 'malformed' : 'version')
  if (!isAuthority(head.authority)) return refuse('malformed')
  const avoid = (headerListOf(head.headers, 'isthmus-avoid') ?? '')
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')
  const endpointId = headerOf(head.headers, 'isthmus-endpoint')
  const ids = endpointId === undefined ? avoid : [...avoid, endpointId]
  if (avoid.length > AVOID_IDS_MAX || !ids.every((id) => ENDPOINT_ID.test(id))) return refuse('malformed')
  return { ok: true, request: { authority: head.authority, avoid: new Set(avoid), endpointId } }
}

/** Exactly `<service>.<namespace>.svc.clusterset.local:<port>`; one spelling, so that one table lookup decides. */
function isAuthority(authority: string): boolean {
  const match = /^([^:]+):([1-9][0-9]{0,4})$/.exec(authority)
  const name = match?.[1] === undefined ? undefined : parseHost(match[1], Number(match[2]))
  return name?.domain === 'clusterset.local'
}

const refuse = (refusal: keyof typeof TUNNEL_REFUSALS): TunnelRequestResult => ({
  ok: false,
  refusal: TUNNEL_REFUSALS[refusal],
})
