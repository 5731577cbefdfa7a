/**
 * One client's subscription to one kind of resource: what it asked for, what it has, what it still has to get. Level
 * triggered: it compares what is wanted with what was sent, so a lost or coalesced notification loses nothing. No IO.
 */
import type { DeltaDiscoveryRequest } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ResourceKind } from '../model/config.ts'
import type { ModelResource } from './codec/codec.ts'
import type { Encoded, EncodedResources } from './encoded.ts'
import { WILDCARD_KINDS } from './resources.ts'

/** Answers stay well under the 4 MiB that gRPC clients accept by default; the rest follows after the ACK. */
const RESPONSE_BYTES_MAX = 1_048_576
/** A client that subscribes to more names than this is broken or hostile. */
const NAMES_MAX = 50_000
const WILDCARD = '*'
/** Stands for the version of a name that was answered with "does not exist". */
const ABSENT = ''

export interface Batch {
  readonly frames: readonly Uint8Array[]
  readonly removed: readonly string[]
}

export interface Nack {
  readonly message: string
  readonly nonce: string
}

export interface SubscriptionStatus {
  readonly resources: number
  /** The nonce sent and not answered yet. */
  readonly awaiting: string | undefined
  readonly acked: string | undefined
  readonly nack: Nack | undefined
}

type Wanted = ReadonlyMap<string, ModelResource['value']>

export class Subscription {
  readonly kind: ResourceKind
  readonly #encoded: EncodedResources
  readonly #names = new Set<string>()
  /** Name to version: what the client has, or will have once it read what is under way. */
  readonly #sent = new Map<string, string>()
  /** Names to send again though the client has them: it asked a second time (xDS protocol, delta). */
  readonly #again = new Set<string>()
  #wildcard = false
  #isFirst = true
  #owesAnswer = false
  #clean: Wanted | undefined
  #awaiting: string | undefined
  #latestNonce: string | undefined
  #acked: string | undefined
  #nack: Nack | undefined

  constructor(kind: ResourceKind, encoded: EncodedResources) {
    this.kind = kind
    this.#encoded = encoded
  }

  get awaiting(): boolean {
    return this.#awaiting !== undefined
  }

  status(): SubscriptionStatus {
    let resources = 0
    for (const version of this.#sent.values()) if (version !== ABSENT) resources += 1
    return { resources, awaiting: this.#awaiting, acked: this.#acked, nack: this.#nack }
  }

  /** Returns the NACK the request carried, or what is wrong with the request itself. */
  receive(request: DeltaDiscoveryRequest): { readonly nack?: Nack; readonly refused?: string } {
    const nack = this.#receiveAnswer(request)
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request
    if (this.#isFirst) this.#receiveFirst(request)
    for (const name of subscribe) this.#subscribe(name)
    for (const name of unsubscribe) this.#unsubscribe(name)
    if (subscribe.length + unsubscribe.length > 0) this.#clean = undefined
    this.#isFirst = false
    if (this.#names.size > NAMES_MAX) return { refused: `more than ${NAMES_MAX} names subscribed` }
    return nack === undefined ? {} : { nack }
  }

  #receiveFirst(request: DeltaDiscoveryRequest): void {
    this.#wildcard = WILDCARD_KINDS.has(this.kind) && request.resourceNamesSubscribe.length === 0
    // An empty answer tells a waiting client that there is nothing.
    this.#owesAnswer = this.#wildcard || request.resourceNamesSubscribe.includes(WILDCARD)
    // What the client kept over a reconnect is not sent again.
    for (const [name, version] of Object.entries(request.initialResourceVersions)) this.#sent.set(name, version)
    this.#clean = undefined
  }

  #receiveAnswer(request: DeltaDiscoveryRequest): Nack | undefined {
    // Another nonce than the latest belongs to an answer that no longer counts; its subscriptions still do.
    if (request.responseNonce === '' || request.responseNonce !== this.#latestNonce) return undefined
    this.#awaiting = undefined
    if (request.errorDetail === undefined) {
      this.#acked = request.responseNonce
      this.#nack = undefined
      return undefined
    }
    // The refused version is not sent again: the client would refuse it again. The next change is.
    this.#nack = { message: request.errorDetail.message, nonce: request.responseNonce }
    return this.#nack
  }

  #subscribe(name: string): void {
    if (name === WILDCARD) {
      this.#wildcard = true
      return
    }
    const isKnown = this.#names.has(name) || (this.#wildcard && this.#sent.has(name))
    if (isKnown && !this.#isFirst) this.#again.add(name)
    this.#names.add(name)
  }

  #unsubscribe(name: string): void {
    if (name === WILDCARD) {
      this.#wildcard = false
      for (const sent of this.#sent.keys()) if (!this.#names.has(sent)) this.#sent.delete(sent)
      return
    }
    this.#names.delete(name)
    this.#again.delete(name)
    if (!this.#wildcard) this.#sent.delete(name)
  }

  /** Whether the client has all of `wanted` (also when removals are still held back: then it is not). */
  isClean(wanted: Wanted): boolean {
    return this.#awaiting === undefined && this.#clean === wanted && this.#again.size === 0
  }

  /**
   * The next answer, or undefined when there is nothing to say. `removals: false` holds back the removal of what the
   * client may still refer to.
   */
  next(wanted: Wanted, options: { readonly removals: boolean }): Batch | undefined {
    if (this.#awaiting !== undefined || this.isClean(wanted)) return undefined
    const frames: Uint8Array[] = []
    let bytes = 0
    let isFull = false
    for (const [name, encoded] of this.#changed(wanted)) {
      isFull = bytes > 0 && bytes + encoded.frame.length > RESPONSE_BYTES_MAX
      if (isFull) break
      bytes += encoded.frame.length
      frames.push(encoded.frame)
      this.#sent.set(name, encoded.version)
      this.#again.delete(name)
    }
    const { removed, isHeld } = isFull ? { removed: [], isHeld: false } : this.#remove(wanted, options.removals)
    if (!isFull && !isHeld) this.#clean = wanted
    if (frames.length + removed.length === 0 && !this.#owesAnswer) return undefined
    this.#owesAnswer = false
    return { frames, removed }
  }

  /** The batch went out under this nonce. */
  sent(nonce: string): void {
    this.#awaiting = nonce
    this.#latestNonce = nonce
  }

  *#changed(wanted: Wanted): Generator<readonly [string, Encoded]> {
    const names = this.#wildcard ? wanted.keys() : this.#names
    for (const name of names) {
      const value = wanted.get(name)
      if (value === undefined) continue
      const encoded = this.#encoded.of({ kind: this.kind, value } as ModelResource)
      if (this.#sent.get(name) !== encoded.version || this.#again.has(name)) yield [name, encoded]
    }
  }

  #remove(wanted: Wanted, mayRemove: boolean): { removed: string[]; isHeld: boolean } {
    const removed: string[] = []
    let isHeld = false
    for (const [name, version] of this.#sent) {
      if (wanted.has(name) || version === ABSENT) continue
      if (!mayRemove) isHeld = true
      else {
        removed.push(name)
        this.#sent.delete(name)
      }
    }
    // A name asked for that does not exist is answered at once: its client waits.
    for (const name of this.#names) {
      if (wanted.has(name) || (this.#sent.has(name) && !this.#again.has(name))) continue
      if (!removed.includes(name)) removed.push(name)
      this.#sent.set(name, ABSENT)
      this.#again.delete(name)
    }
    return { removed, isHeld }
  }
}
