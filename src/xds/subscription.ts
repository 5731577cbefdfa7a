/**
 * One client's subscription to one kind of resource: what it asked for, what it has, what it still has to get. Level
 * triggered: it compares what is wanted with what was sent, so a lost or coalesced notification loses nothing. What a
 * client has is a state shared with its equals (held.ts); only nonces and refusals are its own. No IO.
 */
import type { DeltaDiscoveryRequest } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ResourceKind } from '../model/config.ts'
import { layersOf } from '../model/layers.ts'
import type { Message } from './encoded.ts'
import { ABSENT, type Held, type HeldStates, type Table } from './held.ts'
import { PREFIX_KINDS, WILDCARD_KINDS } from './resources.ts'
import type { Wish } from './wish.ts'

/** A client that subscribes to more names than this is broken or hostile. */
const NAMES_MAX = 50_000

export interface Nack {
  readonly message: string
  readonly nonce: string
  /** Wall clock. */
  readonly at: number
}

export interface SubscriptionStatus {
  readonly resources: number
  /** The nonce sent and not answered yet. */
  readonly awaiting: string | undefined
  readonly acked: string | undefined
  readonly nack: Nack | undefined
  /** Wall clock: of the answer under way, and of the last one that was accepted. */
  readonly sentAt: number | undefined
  readonly ackedAt: number | undefined
}

/** Names alone: what of a table a client lacks, and what it has beside it. */
export interface ContentDiff {
  readonly wanted: number
  readonly held: number
  readonly missing: readonly string[]
  readonly surplus: readonly string[]
}

export class Subscription {
  readonly kind: ResourceKind
  readonly #states: HeldStates
  #wish: Wish
  /** By layer of the table; undefined while the first table has not been seen. */
  #held: readonly Held[] = []
  /** Said or left over, and not yet told apart by layer. */
  #versions: ReadonlyMap<string, string> | undefined = new Map()
  #isFirst = true
  #owesAnswer = false
  #clean: Table | undefined
  #awaiting: Message | undefined
  #latestNonce: string | undefined
  #acked: string | undefined
  #nack: Nack | undefined
  readonly #now: () => number
  #sentAt: number | undefined
  #ackedAt: number | undefined

  constructor(kind: ResourceKind, states: HeldStates, now: () => number) {
    this.#now = now
    this.kind = kind
    this.#states = states
    this.#wish = states.wishes.nothing
  }

  get awaiting(): boolean {
    return this.#awaiting !== undefined
  }

  /** Sent and not answered. */
  get outstanding(): Message | undefined {
    return this.#awaiting
  }

  status(): SubscriptionStatus {
    const resources = this.#held.reduce((sum, held) => sum + held.resources, 0)
    const sentAt = this.#awaiting === undefined ? undefined : this.#sentAt
    const { acked, nack, ackedAt } = { acked: this.#acked, nack: this.#nack, ackedAt: this.#ackedAt }
    return { resources, awaiting: this.#awaiting?.nonce, acked, nack, sentAt, ackedAt }
  }

  diff(wanted: Table): ContentDiff {
    const held = new Set<string>()
    for (const versions of this.#allVersions()) {
      for (const [name, version] of versions) if (version !== ABSENT) held.add(name)
    }
    return diffOf(new Set(this.#states.wishes.present(this.#wish, wanted)), held)
  }

  #allVersions(): readonly ReadonlyMap<string, string>[] {
    return this.#versions === undefined ? this.#held.map(({ versions }) => versions) : [this.#versions]
  }

  /** Returns the NACK the request carried, or what is wrong with the request itself. */
  receive(request: DeltaDiscoveryRequest): { readonly nack?: Nack; readonly refused?: string } {
    const nack = this.#receiveAnswer(request)
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (isFirst || subscribe.length + unsubscribe.length > 0) this.#change(request, isFirst)
    if (this.#wish.names.size > NAMES_MAX) return { refused: `more than ${NAMES_MAX} names subscribed` }
    return nack === undefined ? {} : { nack }
  }

  #receiveAnswer(request: DeltaDiscoveryRequest): Nack | undefined {
    // Another nonce than the latest belongs to an answer that no longer counts; its subscriptions still do.
    if (request.responseNonce === '' || request.responseNonce !== this.#latestNonce) return undefined
    this.#awaiting = undefined
    if (request.errorDetail === undefined) {
      this.#acked = request.responseNonce
      this.#ackedAt = this.#now()
      this.#nack = undefined
      return undefined
    }
    // The refused version is not sent again: the client would refuse it again. The next change is.
    this.#nack = { message: request.errorDetail.message, nonce: request.responseNonce, at: this.#now() }
    return this.#nack
  }

  #change(request: DeltaDiscoveryRequest, isFirst: boolean): void {
    const { resourceNamesSubscribe: subscribe } = request
    const before = this.#wish
    const isWhole = isFirst && WILDCARD_KINDS.has(this.kind) && subscribe.length === 0
    const wish = this.#states.wishes.after(before, request, isWhole)
    this.#wish = wish
    this.#clean = undefined
    // An empty answer tells a waiting client that there is nothing.
    this.#owesAnswer ||= (isFirst && wish.wildcard) || (PREFIX_KINDS.has(this.kind) && subscribe.length > 0)
    const { wishes } = this.#states
    // It asked a second time, so it gets it a second time (xDS protocol, delta).
    const again = isFirst ? [] : subscribe.filter((name) => wishes.covers(before, name))
    if (again.length === 0 && this.#versions === undefined) {
      this.#held = this.#held.map((held) => this.#states.moved(held, wish))
      return
    }
    // What the client kept over a reconnect is not sent again.
    this.#versions = isFirst ? claimOf(request) : this.#leftAfter(wish, again)
  }

  #leftAfter(wish: Wish, again: readonly string[]): ReadonlyMap<string, string> {
    const versions = new Map<string, string>()
    for (const held of this.#allVersions()) {
      for (const [name, version] of held) if (this.#states.wishes.covers(wish, name)) versions.set(name, version)
    }
    for (const name of again) versions.delete(name)
    return versions
  }

  /** Whether the client has all of `wanted` (also when removals are still held back: then it is not). */
  isClean(wanted: Table): boolean {
    return this.#awaiting === undefined && this.#clean === wanted
  }

  /**
   * The next answer, or undefined when there is nothing to say. `removals: false` holds back the removal of what the
   * client may still refer to.
   */
  next(wanted: Table, options: { readonly removals: boolean; readonly systemVersion: string }): Message | undefined {
    if (this.#awaiting !== undefined || this.isClean(wanted)) return undefined
    const layers = this.#layersOf(wanted)
    const held = [...this.#distribute(layers)]
    let isWhole = true
    let message: Message | undefined
    for (const [index, layer] of layers.entries()) {
      const from = held[index]
      if (from === undefined) continue
      const step = this.#states.step(from, layer, options)
      isWhole &&= step.isWhole
      held[index] = step.after
      message = step.message
      if (message === undefined) continue
      // One answer at a time: the other layers' turn comes after its ACK.
      isWhole &&= index === layers.length - 1
      break
    }
    this.#held = held
    if (isWhole) this.#clean = wanted
    if (message === undefined && this.#owesAnswer) message = this.#states.empty(options.systemVersion)
    if (message !== undefined) this.#owesAnswer = false
    return message
  }

  /** Layers are told apart only for those who want all of each; who names names gets them from one table. */
  #layersOf(wanted: Table): readonly Table[] {
    return this.#wish.wildcard && this.#wish.names.size === 0 ? layersOf(wanted) : [wanted]
  }

  #distribute(layers: readonly Table[]): readonly Held[] {
    if (this.#versions === undefined && this.#held.length === layers.length) return this.#held
    let rest = this.#versions ?? new Map(this.#held.flatMap(({ versions }) => Array.from(versions)))
    this.#versions = undefined
    const last = layers.length - 1
    return layers.map((layer, index) => {
      const { held, rest: others } = this.#states.apart(this.#wish, rest, layer)
      // What is in no layer is gone, and somebody has to say so.
      if (index === last && others.size > 0) return this.#states.having(this.#wish, rest)
      rest = others
      return held
    })
  }

  /** The message went out. */
  sent(message: Message): void {
    this.#awaiting = message
    this.#sentAt = this.#now()
    this.#latestNonce = message.nonce
  }
}

export function diffOf(wanted: ReadonlySet<string>, held: ReadonlySet<string>): ContentDiff {
  const missing = [...wanted].filter((name) => !held.has(name))
  const surplus = [...held].filter((name) => !wanted.has(name))
  return { wanted: wanted.size, held: held.size, missing, surplus }
}

const claims = new WeakMap<DeltaDiscoveryRequest, ReadonlyMap<string, string>>()

function claimOf(request: DeltaDiscoveryRequest): ReadonlyMap<string, string> {
  let claim = claims.get(request)
  if (claim === undefined) {
    claim = new Map(Object.entries(request.initialResourceVersions))
    claims.set(request, claim)
  }
  return claim
}
