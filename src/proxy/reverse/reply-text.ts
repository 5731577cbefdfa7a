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
  [REFUSALS.requestTimeout, 'request timeout'],
  [REFUSALS.idle, 'stream timeout'],
  [REFUSALS.idleUpload, 'stream timeout'],
  [REFUSALS.duration, 'downstream duration timeout'],
  [REFUSALS.durationUpload, 'downstream duration timeout'],
  [REFUSALS.policy, 'RBAC: access denied'],
  [REFUSALS.denied, 'RBAC: access denied'],
  [REFUSALS.overloaded, 'envoy overloaded'],
  [REFUSALS.bodyTooLarge, 'Payload Too Large'],
  [REFUSALS.rateLimited, 'local_rate_limited'],
])

/** Empty: the answer has no body. */
export function replyText(refusal: Refusal, attempts: number): string {
  const text = TEXTS.get(refusal) ?? ''
  return attempts > 1 ? text.replace('. reset reason:', '. retried and the latest reset reason:') : text
}
