/**
 * Tunnels to a service of another cluster: CONNECT streams over the shared connections to a peer's gateway, each with
 * an inner mTLS connection end to end to one pod (design, Wire contract). The gateway authenticates this workload and
 * sees ciphertext; who answers inside is judged by the identities the exporting cluster published.
 */
import type { Cancel } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { ConnectionSettings, Tunnel } from '../../model/config.ts'
import type { ClusterLimits } from '../balance/limits.ts'
import { H2_FAR_LIMITS, H2_TUNNEL_LIMITS } from '../h2/types.ts'
import type { Peer } from '../identity.ts'
import type { ClientConnection } from '../stream.ts'
import { dialMesh, type DialContext, NO_CREDENTIALS, secure, type Target } from './dial.ts'
import { Pool } from './pool.ts'
import type { Dial, DialOutcome, Transport, Waiter } from './transport.ts'
import { type OpenedTunnel, TunnelOpening } from './tunnel-opening.ts'

const OUTER_CONNECTIONS_MAX = 8
/** Two from the start, so that one broken connection is not the loss of the gateway. */
const OUTER_CONNECTIONS_WANTED = 2
const OUTER_STREAMS_EXPECTED = 100 // HTTP/2 allows so many before SETTINGS arrive
const OUTER_IDLE_MS = 90_000
const TUNNELS_MAX = 16 // per remote service
const TUNNEL_STREAMS_EXPECTED = 100
const TUNNEL_IDLE_MS = 60_000
/** One more than it takes, in another connection: when a large body begins, what is small has somewhere to go at once. */
const QUIET_WANTED = 2

/** Connections to the gateways of peers, shared by every service behind them. */
export class GatewayLinks {
  readonly #context: DialContext
  readonly #random: Random
  readonly #links = new Map<string, GatewayLink>()

  constructor(context: DialContext, random: Random) {
    this.#context = context
    this.#random = random
  }

  /** Give it back with `release`. Bulk never shares a connection with requests, which would wait behind it. */
  take(target: Target, tunnel: Tunnel, use: 'requests' | 'bulk' = 'requests'): GatewayLink {
    const way = `${target.address}:${target.port}|${tunnel.gatewaySni}|${tunnel.gatewayIdentity}`
    const key = use === 'bulk' ? `${way}|bulk` : way
    const link = this.#links.get(key) ?? new GatewayLink(key, this.#context, this.#random, { target, tunnel })
    this.#links.set(key, link)
    link.users++
    return link
  }

  release(link: GatewayLink): void {
    if (--link.users > 0) return
    this.#links.delete(link.key)
    link.pool.close()
  }

  recheck(trusted: (peer: Peer) => boolean): void {
    for (const link of this.#links.values()) link.pool.recheck(trusted)
  }

  entries(): readonly GatewayLink[] {
    return [...this.#links.values()]
  }

  destroy(): void {
    for (const link of this.#links.values()) link.pool.destroy()
  }
}

export interface LinkWatcher {
  linkChanged(): void
  carrierGone(carrier: ClientConnection): void
  carrierDraining(carrier: ClientConnection): void
}

export class GatewayLink {
  readonly key: string
  readonly pool: Pool
  readonly watchers = new Set<LinkWatcher>()
  users = 0

  constructor(key: string, context: DialContext, random: Random, to: { target: Target; tunnel: Tunnel }) {
    this.key = key
    const { target, tunnel } = to
    const dial = dialMesh(context, target, {
      serverName: tunnel.gatewaySni,
      identities: [tunnel.gatewayIdentity],
      timeoutMs: target.timeoutMs,
      limits: H2_TUNNEL_LIMITS,
    })
    this.pool = new Pool({
      name: `gateway ${tunnel.gatewaySni} at ${target.address}:${target.port}`,
      dial,
      timers: context.timers,
      random,
      connectionsMax: OUTER_CONNECTIONS_MAX,
      wanted: () => OUTER_CONNECTIONS_WANTED,
      quietWanted: QUIET_WANTED,
      streamsExpected: OUTER_STREAMS_EXPECTED,
      waitersMax: 1_024,
      keepAlive: true,
      idleMs: OUTER_IDLE_MS,
      judgesConnections: false,
      onUsable: () => {
        for (const watcher of this.watchers) watcher.linkChanged()
      },
      onGone: (connection) => {
        for (const watcher of this.watchers) watcher.carrierGone(connection)
      },
      onRetiring: (connection) => {
        for (const watcher of this.watchers) watcher.carrierDraining(connection)
      },
    })
  }
}

export interface TunnelOptions {
  readonly context: DialContext
  readonly random: Random
  readonly links: GatewayLinks
  readonly target: Target
  /** Read at every use: the number of endpoints behind the gateway changes while tunnels live on. */
  readonly tunnel: () => Tunnel
  readonly settings: ConnectionSettings | undefined
  readonly limits: ClusterLimits
  readonly onUsable: () => void
}

/** All tunnels to one remote service through one gateway. */
export class TunnelTransport implements Transport, LinkWatcher {
  readonly #options: TunnelOptions
  readonly #link: GatewayLink
  readonly #pool: Pool
  #closed = false

  constructor(options: TunnelOptions) {
    this.#options = options
    this.#link = options.links.take(options.target, options.tunnel())
    this.#link.watchers.add(this)
    this.#pool = new Pool({
      name: `tunnel to ${options.tunnel().authority} in ${options.tunnel().cluster}`,
      dial: this.#dial(),
      timers: options.context.timers,
      random: options.random,
      connectionsMax: TUNNELS_MAX,
      wanted: () => Math.max(1, Math.min(options.tunnel().endpoints, TUNNELS_MAX)),
      quietWanted: QUIET_WANTED,
      streamsExpected: TUNNEL_STREAMS_EXPECTED,
      waitersMax: 1_024,
      keepAlive: true,
      idleMs: TUNNEL_IDLE_MS,
      judgesConnections: true,
      settings: options.settings,
      limits: options.limits,
      onUsable: options.onUsable,
    })
  }

  get usable(): boolean {
    return this.#link.pool.usable && this.#pool.usable
  }

  get account(): Pool['account'] {
    return this.#pool.account
  }

  get connections(): number {
    return this.#pool.connections
  }

  get lastFailure(): string {
    return this.#link.pool.usable ? this.#pool.lastFailure : this.#link.pool.lastFailure
  }

  acquire(waiter: Waiter): void {
    this.#pool.acquire(waiter)
  }

  abandon(waiter: Waiter): void {
    this.#pool.abandon(waiter)
  }

  report(connection: ClientConnection, ok: boolean): boolean {
    return this.#pool.report(connection, ok)
  }

  dialedOf(connection: ClientConnection): ReturnType<Pool['dialedOf']> {
    return this.#pool.dialedOf(connection)
  }

  /** The tunnel's own silence, or that of the connection it travels in. */
  suspects(connection: ClientConnection): boolean {
    const carrier = this.#pool.dialedOf(connection)?.carrier
    return this.#pool.suspects(connection) || (carrier !== undefined && this.#link.pool.suspects(carrier))
  }

  recheck(trusted: (peer: Peer) => boolean): void {
    this.#pool.recheck(trusted)
  }

  linkChanged(): void {
    this.#options.onUsable()
  }

  carrierGone(carrier: ClientConnection): void {
    this.#pool.carrierGone(carrier)
  }

  carrierDraining(carrier: ClientConnection): void {
    this.#pool.carrierDraining(carrier)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#link.watchers.delete(this)
    this.#pool.close()
    this.#options.links.release(this.#link)
  }

  #dial(): Dial {
    return (handler, done) => {
      const attempt = new TunnelAttempt(this.#options, this.#link, this.#pool, done)
      attempt.start(handler)
      return () => attempt.cancel()
    }
  }
}

/** An opened tunnel, then the inner handshake; cancellable in every step. */
class TunnelAttempt {
  readonly #options: TunnelOptions
  readonly #opening: TunnelOpening
  readonly #done: (outcome: DialOutcome) => void
  #cancelStep: Cancel

  constructor(options: TunnelOptions, link: GatewayLink, pool: Pool, done: (outcome: DialOutcome) => void) {
    this.#options = options
    this.#done = done
    this.#opening = new TunnelOpening({
      ...options,
      link,
      avoided: () => pool.avoided(),
      avoids: (carrier) => pool.travelsIn(carrier),
    })
    this.#cancelStep = () => this.#opening.cancel()
  }

  start(handler: Parameters<Dial>[0]): void {
    this.#opening.start((outcome) => {
      if (outcome.kind === 'failed') return this.#done(outcome)
      return this.#secure(outcome, handler)
    })
  }

  cancel(): void {
    this.#cancelStep()
  }

  #secure({ carrier, duplex, endpointId }: OpenedTunnel, handler: Parameters<Dial>[0]): void {
    const { context, target } = this.#options
    const credentials = context.credentials()
    if (credentials === undefined) {
      duplex.destroy()
      return this.#done({ kind: 'failed', failure: NO_CREDENTIALS })
    }
    const tunnel = this.#options.tunnel()
    const mesh = {
      serverName: tunnel.innerSni,
      identities: tunnel.identities,
      timeoutMs: target.timeoutMs,
      limits: H2_FAR_LIMITS,
    }
    this.#cancelStep = secure(context, { mesh, credentials, stream: duplex, handler }, (outcome) => {
      if (outcome.kind === 'failed') return this.#done(outcome)
      const { connection, peer, lifetimeMs } = outcome
      return this.#done({ kind: 'connected', dialed: { connection, peer, lifetimeMs, endpointId, carrier } })
    })
  }
}
