/**
 * One client's state-of-the-world ADS stream on the server: gRPC clients speak nothing else, and Envoy may. Listeners and
 * clusters come whole whenever one of them changes; of endpoints, routes and secrets an answer holds what changed of the
 * names asked for (xDS protocol, "Grouping resources into responses"). Order and pacing are those of stream.ts.
 */
import type { DiscoveryRequest } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ProxyConfig, ResourceKind } from '../model/config.ts'
import type { ModelResource } from './codec/codec.ts'
import { type Sendable, tableOf, WholeMessage } from './encoded.ts'
import type { Table } from './held.ts'
import { kindOfTypeUrl, SEND_ORDER, WILDCARD_KINDS } from './resources.ts'
import {
  type KindContents,
  type Outlet,
  REFERRING,
  type Received,
  type SharedStates,
  type VersionedConfig,
} from './stream.ts'
import { diffOf, type SubscriptionStatus } from './subscription.ts'

const NAMES_MAX = 50_000
const WILDCARD = '*'

interface KindState {
  /** Undefined: everything. */
  names: ReadonlySet<string> | undefined
  /** Name to version of what was sent. */
  sent: ReadonlyMap<string, string>
  clean: Table | undefined
  isNew: boolean
  /** An answer is owed, be it empty: of listeners and clusters it says that what was asked for is not there. */
  owes: boolean
  awaiting: Sendable | undefined
  nonce: string
  acked: string | undefined
  nack: SubscriptionStatus['nack']
  sentAt: number | undefined
  ackedAt: number | undefined
}

export class WholeStream {
  readonly #kinds = new Map<ResourceKind, KindState>()
  readonly #states: SharedStates
  readonly #outlet: Outlet
  #version: string | undefined
  #versions = 0

  constructor(states: SharedStates, outlet: Outlet) {
    this.#states = states
    this.#outlet = outlet
  }

  receive(request: DiscoveryRequest): Received {
    const kind = kindOfTypeUrl(request.typeUrl)
    if (kind === undefined || kind === 'host') return { refused: 'this type is not served', typeUrl: request.typeUrl }
    if (request.resourceNames.length > NAMES_MAX) {
      return { refused: `more than ${NAMES_MAX} names subscribed`, typeUrl: request.typeUrl }
    }
    const state = this.#stateOf(kind)
    // Another nonce than the latest says nothing that still counts: the client will say it again (xDS protocol, "ACK").
    if (request.responseNonce !== state.nonce) return { kind }
    const nack = this.#receiveAnswer(state, request)
    this.#subscribe(kind, state, request.resourceNames)
    return nack === undefined ? { kind } : { kind, nack }
  }

  #stateOf(kind: ResourceKind): KindState {
    let state = this.#kinds.get(kind)
    if (state === undefined) {
      state = {
        names: new Set(),
        sent: new Map(),
        clean: undefined,
        isNew: true,
        owes: WILDCARD_KINDS.has(kind),
        awaiting: undefined,
        nonce: '',
        acked: undefined,
        nack: undefined,
        sentAt: undefined,
        ackedAt: undefined,
      }
      this.#kinds.set(kind, state)
    }
    return state
  }

  #receiveAnswer(state: KindState, { errorDetail, responseNonce }: DiscoveryRequest): SubscriptionStatus['nack'] {
    const { awaiting } = state
    state.awaiting = undefined
    if (awaiting !== undefined) this.#outlet.answered(awaiting)
    // A request without an answer before it; or one for other names, which judges nothing a second time.
    if (responseNonce === '' || (awaiting === undefined && errorDetail === undefined)) return undefined
    // What was refused is not sent again: the client would refuse it again. The next change is.
    state.nack =
      errorDetail === undefined
        ? undefined
        : { message: errorDetail.message, nonce: responseNonce, at: this.#states.now() }
    if (errorDetail === undefined) [state.acked, state.ackedAt] = [responseNonce, this.#states.now()]
    return state.nack
  }

  /** Each request names all that is wanted; none at all, in a first one, means everything of listeners and clusters. */
  #subscribe(kind: ResourceKind, state: KindState, names: readonly string[]): void {
    const wasWildcard = state.names === undefined
    const isWildcard = names.length === 0 ? state.isNew || wasWildcard : names.includes(WILDCARD)
    const wanted = WILDCARD_KINDS.has(kind) && isWildcard ? undefined : new Set(names)
    if (wanted === undefined ? wasWildcard : state.names !== undefined && isSameSet(state.names, wanted)) return
    if (wanted !== undefined) state.sent = new Map([...state.sent].filter(([name]) => wanted.has(name)))
    state.names = wanted
    state.clean = undefined
    state.owes ||= WILDCARD_KINDS.has(kind)
  }

  pump(versioned: VersionedConfig): void {
    this.#version = versioned.version
    for (const kind of SEND_ORDER) {
      const mustWait = REFERRING.has(kind) && this.#kinds.get('cluster')?.awaiting !== undefined
      if (!mustWait) this.#serve(kind, versioned)
    }
  }

  #serve(kind: ResourceKind, { config }: VersionedConfig): void {
    const state = this.#kinds.get(kind)
    if (state === undefined || state.awaiting !== undefined) return
    const table = tableOf(config, kind)
    if (state.clean === table || !this.#outlet.hasRoom()) return
    const message = this.#next(kind, state, table)
    state.clean = table
    if (message === undefined) return
    state.isNew = false
    state.awaiting = message
    state.nonce = message.nonce
    state.sentAt = this.#states.now()
    this.#outlet.write(message)
  }

  #next(kind: ResourceKind, state: KindState, table: Table): WholeMessage | undefined {
    const isWhole = WILDCARD_KINDS.has(kind)
    const present = new Map<string, string>()
    const frames: Uint8Array[] = []
    for (const name of state.names ?? table.keys()) {
      const value = table.get(name)
      if (value === undefined) continue
      const { version, frame } = this.#states.wholeOf({ kind, value } as ModelResource)
      present.set(name, version)
      if (isWhole || state.sent.get(name) !== version) frames.push(frame)
    }
    const isSame = isWhole ? isSameMap(state.sent, present) : frames.length === 0
    state.sent = present
    if (isSame && !state.owes) return undefined
    state.owes = false
    this.#versions += 1
    return new WholeMessage({ kind, version: String(this.#versions), nonce: this.#states.nextNonce(), frames })
  }

  isSynced(config: ProxyConfig): boolean {
    for (const [kind, { awaiting, clean }] of this.#kinds) {
      if (awaiting !== undefined || clean !== tableOf(config, kind)) return false
    }
    return this.#kinds.size > 0
  }

  diffs(config: ProxyConfig): readonly KindContents[] {
    return Array.from(this.#kinds, ([kind, { names, sent, awaiting, clean }]) => {
      const table = tableOf(config, kind)
      const wanted = new Set([...(names ?? table.keys())].filter((name) => table.has(name)))
      const isClean = awaiting === undefined && clean === table
      return { kind, ...diffOf(wanted, new Set(sent.keys())), isClean }
    })
  }

  status(): {
    readonly version: string | undefined
    readonly kinds: Partial<Record<ResourceKind, SubscriptionStatus>>
  } {
    const kinds: Partial<Record<ResourceKind, SubscriptionStatus>> = {}
    for (const [kind, { sent, awaiting, acked, nack, sentAt, ackedAt }] of this.#kinds) {
      const waitsSince = awaiting === undefined ? undefined : sentAt
      kinds[kind] = { resources: sent.size, awaiting: awaiting?.nonce, acked, nack, sentAt: waitsSince, ackedAt }
    }
    return { version: this.#version, kinds }
  }

  /** Only what is named is made; a gRPC client wants a handful of thousands. */
  tables(): readonly (readonly [ResourceKind, Table])[] {
    return []
  }
}

function isSameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  if (one.size !== other.size) return false
  for (const name of one) if (!other.has(name)) return false
  return true
}

function isSameMap(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  if (one.size !== other.size) return false
  for (const [name, version] of one) if (other.get(name) !== version) return false
  return true
}
