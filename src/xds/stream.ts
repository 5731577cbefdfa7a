/**
 * One client's ADS stream on the server: its subscriptions and the order in which they are served. Make before break:
 * clusters, endpoints and secrets first; listeners and routes once the client acknowledged the clusters; removals when
 * listeners and routes no longer refer to them. At most one answer per kind is under way, so a slow client costs one
 * answer, never a queue. No gRPC and no authentication here: server.ts has those.
 */
import type { DeltaDiscoveryRequest } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ProxyConfig, ResourceKind } from '../model/config.ts'
import { type Encoded, EncodedResources, NO_HOSTS, type Sendable, tableOf } from './encoded.ts'
import type { ModelResource } from './codec/codec.ts'
import { HeldStates, type Table } from './held.ts'
import { kindOfTypeUrl, SEND_ORDER } from './resources.ts'
import { RouteSplitter } from './split-routes.ts'
import { type ContentDiff, type Nack, Subscription, type SubscriptionStatus } from './subscription.ts'

export interface VersionedConfig {
  readonly config: ProxyConfig
  /** Shown to people; resources have versions of their own. */
  readonly version: string
}

export const REFERRING: ReadonlySet<ResourceKind> = new Set(['listener', 'route', 'host'])
/** What nothing sent later refers to may go at once. */
const REMOVED_FIRST: ReadonlySet<ResourceKind> = new Set(['listener', 'host'])

export type Received =
  | { readonly kind: ResourceKind; readonly nack?: Nack }
  | { readonly refused: string; readonly typeUrl: string }

export interface KindContents extends ContentDiff {
  readonly kind: ResourceKind
  /** Everything is sent and answered. */
  readonly isClean: boolean
}

/** What all streams of a server share: bytes of resources, and the states that clients are in. */
export class SharedStates {
  readonly #encoded = new EncodedResources()
  readonly #kinds = new Map<ResourceKind, HeldStates>()
  readonly splitter = new RouteSplitter()
  /** Wall clock, for people. */
  readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  wholeOf(resource: ModelResource): Encoded {
    return this.#encoded.wholeOf(resource)
  }

  nextNonce(): string {
    return this.#encoded.nextNonce()
  }

  /** So that sending it later costs nothing. */
  encode(kind: ResourceKind, value: never): void {
    this.#encoded.of({ kind, value })
  }

  of(kind: ResourceKind): HeldStates {
    let states = this.#kinds.get(kind)
    if (states === undefined) {
      states = new HeldStates(kind, this.#encoded)
      this.#kinds.set(kind, states)
    }
    return states
  }
}

/** Where answers go. */
export interface Outlet {
  /** False: not now; whoever says so pumps the stream again when there is room. */
  hasRoom(): boolean
  write(message: Sendable): void
  /** The client read it, and said what it thinks of it. */
  answered(message: Sendable): void
}

export class AdsStream {
  readonly #subscriptions = new Map<ResourceKind, Subscription>()
  readonly #states: SharedStates
  readonly #outlet: Outlet
  readonly #splitsRoutes: boolean
  #version: string | undefined

  /** `splitsRoutes`: the client takes virtual hosts one by one. */
  constructor(states: SharedStates, outlet: Outlet, { splitsRoutes = false } = {}) {
    this.#states = states
    this.#outlet = outlet
    this.#splitsRoutes = splitsRoutes
  }

  receive(request: DeltaDiscoveryRequest): Received {
    const kind = kindOfTypeUrl(request.typeUrl)
    if (kind === undefined) return { refused: 'this type is not served', typeUrl: request.typeUrl }
    let subscription = this.#subscriptions.get(kind)
    if (subscription === undefined) {
      subscription = new Subscription(kind, this.#states.of(kind), this.#states.now)
      this.#subscriptions.set(kind, subscription)
    }
    const { outstanding } = subscription
    const { nack, refused } = subscription.receive(request)
    if (outstanding !== undefined && !subscription.awaiting) this.#outlet.answered(outstanding)
    if (refused !== undefined) return { refused, typeUrl: request.typeUrl }
    return nack === undefined ? { kind } : { kind, nack }
  }

  /** Sends what is due; called after every request and every change. */
  pump(versioned: VersionedConfig): void {
    this.#version = versioned.version
    for (const kind of SEND_ORDER) {
      const mustWait = REFERRING.has(kind) && this.#subscriptions.get('cluster')?.awaiting === true
      if (!mustWait) this.#serve(kind, versioned, { removals: REMOVED_FIRST.has(kind) })
    }
    if (!this.#isReferringSettled(versioned.config)) return
    for (const kind of SEND_ORDER.toReversed()) this.#serve(kind, versioned, { removals: true })
  }

  #serve(kind: ResourceKind, { config, version }: VersionedConfig, options: { removals: boolean }): void {
    const subscription = this.#subscriptions.get(kind)
    if (subscription === undefined || subscription.awaiting) return
    const table = this.#tableOf(config, kind)
    // What is sent is chosen when there is room for it: the newest state, whatever came between.
    if (subscription.isClean(table) || !this.#outlet.hasRoom()) return
    const message = subscription.next(table, { ...options, systemVersion: version })
    if (message === undefined) return
    subscription.sent(message)
    this.#outlet.write(message)
  }

  /** Listeners are what they should be, and so are routes apart from removals that wait for this very moment. */
  #isReferringSettled(config: ProxyConfig): boolean {
    const listeners = this.#subscriptions.get('listener')
    const routes = this.#subscriptions.get('route')
    const hosts = this.#subscriptions.get('host')
    return (
      listeners?.isClean(config.listeners) !== false &&
      routes?.awaiting !== true &&
      hosts?.isClean(this.#tableOf(config, 'host')) !== false
    )
  }

  #tableOf(config: ProxyConfig, kind: ResourceKind): Table {
    if (kind !== 'route' && kind !== 'host') return tableOf(config, kind)
    if (!this.#splitsRoutes) return kind === 'route' ? config.routes : NO_HOSTS
    const { routes, hosts } = this.#states.splitter.split(config.routes)
    return kind === 'route' ? routes : hosts
  }

  /** Everything that the client may ask for, as it would get it. */
  tables(config: ProxyConfig): readonly (readonly [ResourceKind, Table])[] {
    return SEND_ORDER.map((kind) => [kind, this.#tableOf(config, kind)])
  }

  /** Whether the client has acknowledged everything in `config` that it subscribed to. */
  isSynced(config: ProxyConfig): boolean {
    for (const [kind, subscription] of this.#subscriptions) {
      if (!subscription.isClean(this.#tableOf(config, kind))) return false
    }
    return this.#subscriptions.size > 0
  }

  /** What the client has of each kind that it asked for, beside what it should have. */
  diffs(config: ProxyConfig): readonly KindContents[] {
    return Array.from(this.#subscriptions, ([kind, subscription]) => {
      const table = this.#tableOf(config, kind)
      return { kind, ...subscription.diff(table), isClean: subscription.isClean(table) }
    })
  }

  status(): {
    readonly version: string | undefined
    readonly kinds: Readonly<Partial<Record<ResourceKind, SubscriptionStatus>>>
  } {
    const kinds: Partial<Record<ResourceKind, SubscriptionStatus>> = {}
    for (const [kind, subscription] of this.#subscriptions) kinds[kind] = subscription.status()
    return { version: this.#version, kinds }
  }
}
