/**
 * Upgrades and CONNECT as the core sees them: which are allowed, and what an exchange remembers while it is a tunnel.
 * The bytes of a tunnel take the same way as bodies; what differs is that none are sent before the endpoint accepted
 * (a server that refuses would read them as its next request), and that each half ends on its own.
 */
import type { Upgrade } from '../model/config.ts'
import type { RequestBody } from './exchange-body.ts'
import type { RequestHead } from './message.ts'
import type { ClientStream, ServerStream } from './stream.ts'

export type UpgradeRules = ReadonlyMap<string, boolean>

const NONE: UpgradeRules = new Map()

export function compileUpgrades(upgrades: readonly Upgrade[] | undefined): UpgradeRules {
  if (upgrades === undefined || upgrades.length === 0) return NONE
  return new Map(upgrades.map(({ type, enabled }) => [type, enabled]))
}

/** The route's word counts before the listener's. */
export function mayUpgrade(protocol: string, listener: UpgradeRules, route: UpgradeRules): boolean {
  return route.get(protocol) ?? listener.get(protocol) ?? false
}

/** The part of an exchange that asks for a tunnel. */
export class Tunnel {
  /** The endpoint accepted: bytes flow both ways. */
  open = false
  /** The endpoint has sent all it had; the client may go on. */
  answered = false

  /** If that is what the answer means: what the client sent on trust comes first, then bytes pass as they come. */
  start(client: ServerStream, endpoint: ClientStream | undefined, body: RequestBody, status: number): void {
    if (endpoint === undefined || !opensTunnel(client.head, status)) return
    this.open = true
    body.sendTo(endpoint)
    body.forget()
    client.resume()
  }

  /** Each half of a tunnel ends on its own. True: this was the second, and all is over. */
  endClientHalf(endpoint: ClientStream | undefined): boolean {
    if (!this.open) return false
    endpoint?.end()
    return this.answered
  }
}

/** Undefined for ordinary requests. */
export function tunnelOf(head: RequestHead): Tunnel | undefined {
  return head.protocol !== '' || head.method === 'CONNECT' ? new Tunnel() : undefined
}

/** Whether an answer with this status makes the connection a tunnel (RFC 9110 9.3.6 and 15.2.2). */
function opensTunnel(request: RequestHead, status: number): boolean {
  return request.protocol === '' ? request.method === 'CONNECT' && status >= 200 && status < 300 : status === 101
}
