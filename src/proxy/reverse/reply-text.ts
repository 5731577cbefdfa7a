/**
 * The words of Envoy's own answers, which clients and dashboards of its users look for. In the mesh our own words say
 * more (local-reply.ts).
 */
import { type Refusal, REFUSALS } from '../local-reply.ts'

const reset = (reason: string): string =>
  `upstream connect error or disconnect/reset before headers. reset reason: ${reason}`

const TEXTS: ReadonlyMap<Refusal, string> = new Map<Refusal, string>([
  [REFUSALS.none, 'no healthy upstream'],
  [REFUSALS.connectFailed, reset('remote connection failure')],
  [REFUSALS.lost, reset('connection termination')],
  [REFUSALS.overflow, reset('overflow')],
  [REFUSALS.protocol, reset('protocol error')],
  [REFUSALS.timeout, 'upstream request timeout'],
  [REFUSALS.idle, 'stream timeout'],
  [REFUSALS.idleUpload, 'stream timeout'],
  [REFUSALS.duration, 'stream timeout'],
  [REFUSALS.durationUpload, 'stream timeout'],
  [REFUSALS.policy, 'RBAC: access denied'],
  [REFUSALS.denied, 'RBAC: access denied'],
  [REFUSALS.rateLimited, 'local_rate_limited'],
])

/** Empty: the answer has no body. */
export const replyText = (refusal: Refusal): string => TEXTS.get(refusal) ?? ''
