/**
 * The link to one peer, for as long as its ClusterPeer exists: dials its gateways in turn until one stream is open,
 * takes streams that the peer dials, keeps exactly one, and holds what the peer said. A link that loses its stream
 * keeps its view: stop is not remove. Only deleting the ClusterPeer removes it, in the controller.
 *
 *   waiting --timer--> dialling --stream--> greeting --Hello--> open --silence, error--> waiting
 *                         \--no answer--> waiting            (streams of the peer's enter at greeting)
 */
import { Backoff } from '../../src/runtime/backoff.ts'
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { MeshError, messageOf } from '../../src/runtime/errors.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Announcement } from '../exports/announcement.ts'
import { acceptHeld, applyDelta, applySnapshot, type Delta, type PeerView, type Snapshot } from '../exports/view.ts'
import { candidateWins } from './keep.ts'
import type { Channel, ChannelEvents, DataState, Hello, Members, Rejection, TrustAnswer } from './message.ts'
import { Session, type SessionHost } from './session.ts'

export interface Peer {
  readonly name: string
  readonly trustDomain: string
  readonly gateways: readonly string[]
  readonly signer: boolean
}

export interface DialRequest {
  readonly peer: Peer
  /** One of the peer's gateways, `host:port`. */
  readonly address: string
  readonly signal: AbortSignal
}

export interface PeerDialler {
  /** Resolves once the stream is up and `accept` has got it; rejects when it never was. */
  dial(request: DialRequest, accept: (channel: Channel) => ChannelEvents): Promise<void>
}

/** What a link asks of the controller and tells it. */
export interface LinkHost {
  readonly cluster: string
  hello(link: PeerLink): Hello
  announcement(): Announcement
  viewChanged(link: PeerLink): void
  statusChanged(link: PeerLink): void
  greeted(link: PeerLink, hello: Hello): void
  membersSaid(link: PeerLink, members: Members): void
  trustRequest(link: PeerLink, csrPem: string): Promise<TrustAnswer>
  trustGrant(link: PeerLink, answer: TrustAnswer): void
}

export interface LinkOptions {
  readonly peer: Peer
  readonly host: LinkHost
  readonly dialler: PeerDialler
  readonly clock: Clock
  readonly random: Random
  /** As rebuilt from this cluster's objects. */
  readonly view: PeerView
  /** Wall-clock time of the last heartbeat that a former leader wrote down. */
  readonly lastHeartbeatMs?: number
}

export type SyncState = 'Connected' | 'Stale' | 'Never'

const HEARTBEAT_MS = 1_000
export const STALE_MS = 3_000
const SILENCE_MAX_MS = 6_000 // twice the stale time: a slow path is shown before its stream is given up
const DIAL_TIMEOUT_MS = 4_000
const BACKOFF_INITIAL_MS = 200
const BACKOFF_MAX_MS = 2_000 // healed within 10 s, dial and greeting included
const GREETINGS_MAX = 4

export class PeerLink implements SessionHost {
  readonly #options: LinkOptions
  readonly #backoff: Backoff
  readonly #greetings = new Set<Session>()
  #peer: Peer
  #view: PeerView
  #active: Session | undefined
  #dial: AbortController | undefined
  #cancelRetry: Cancel = () => {}
  #cancelBeat: Cancel = () => {}
  #stopped = true
  #nextGateway = 0
  #epochMax = -1
  #acked = 0
  #heardAt: number | undefined
  #heardWallMs: number | undefined
  #shownSync: SyncState = 'Never'
  #remoteData: DataState = 'Unknown'
  #rejected: readonly Rejection[] = []
  #problem: string | undefined
  /** How this cluster sees the data path to the peer; the prober sets it, heartbeats tell it. */
  dataState: DataState = 'Unknown'

  constructor(options: LinkOptions) {
    this.#options = options
    this.#peer = options.peer
    this.#view = options.view
    this.#heardWallMs = options.lastHeartbeatMs
    this.#backoff = new Backoff({ initialMs: BACKOFF_INITIAL_MS, maxMs: BACKOFF_MAX_MS, random: options.random })
  }

  start(): void {
    this.#stopped = false
    this.#cancelBeat = this.#options.clock.every(HEARTBEAT_MS, () => this.#beat())
    this.#dialNext()
  }

  /** Ends the stream and keeps the view. */
  stop(): void {
    this.#stopped = true
    this.#cancelBeat()
    this.#cancelRetry()
    this.#dial?.abort()
    for (const session of this.#greetings) session.close('this leader stops')
    this.#active?.close('this leader stops')
  }

  /** A stream that the peer dialled; its certificate was checked to be this peer's federation controller. */
  accept(channel: Channel): ChannelEvents {
    return this.#greet(channel, this.#peer.name)
  }

  update(peer: Peer): void {
    this.#peer = peer
  }

  announce(): void {
    this.#active?.announce()
  }

  /** To be called when everything heard until now stands in this cluster's objects. */
  acknowledgement(): () => void {
    return this.#active?.acknowledgement() ?? NOTHING_TO_SAY
  }

  tellMembers(members: Members): void {
    this.#active?.send({ kind: 'members', members })
  }

  requestTrust(csrPem: string): void {
    this.#active?.send({ kind: 'trust-request', csrPem })
  }

  /** An operator accepts what the last snapshot omitted. */
  acceptOmissions(): void {
    this.#setView(acceptHeld(this.#view))
  }

  // === what others read ===

  get peerSpec(): Peer {
    return this.#peer
  }

  get view(): PeerView {
    return this.#view
  }

  get open(): boolean {
    return this.#active !== undefined
  }

  /** The highest version of this term's announcements that the peer has acknowledged. */
  get ackedVersion(): number {
    return this.#acked
  }

  get rejected(): readonly Rejection[] {
    return this.#rejected
  }

  get exported(): number {
    return this.#active?.exported ?? 0
  }

  /** How the peer sees the data path towards this cluster. */
  get remoteData(): DataState {
    return this.#remoteData
  }

  /** Why there is no stream; undefined while there is one. */
  get problem(): string | undefined {
    return this.#active === undefined ? this.#problem : undefined
  }

  get sync(): {
    readonly state: SyncState
    readonly lastHeartbeatMs: number | undefined
    readonly ageMs: number | undefined
  } {
    const { clock } = this.#options
    const lastHeartbeatMs = this.#heardWallMs
    if (lastHeartbeatMs === undefined) return { state: 'Never', lastHeartbeatMs, ageMs: undefined }
    const ageMs =
      this.#heardAt === undefined ? Math.max(0, clock.now() - lastHeartbeatMs) : clock.monotonic() - this.#heardAt
    const fresh = this.#active !== undefined && this.#heardAt !== undefined && ageMs <= STALE_MS
    return { state: fresh ? 'Connected' : 'Stale', lastHeartbeatMs, ageMs: Math.round(ageMs) }
  }

  // === the session's host ===

  get peer(): string {
    return this.#peer.name
  }

  get trustDomain(): string {
    return this.#peer.trustDomain
  }

  hello(): Hello {
    return this.#options.host.hello(this)
  }

  announcement(): Announcement {
    return this.#options.host.announcement()
  }

  known(): ReadonlySet<string> {
    return new Set(this.#view.services.keys())
  }

  greeted(session: Session, hello: Hello): MeshError | undefined {
    if (hello.epoch < this.#epochMax) {
      return new MeshError('PEER_EPOCH', `epoch ${hello.epoch} is lower than ${this.#epochMax}, seen before`)
    }
    const current = this.#active
    if (current !== undefined && !candidateWins(current.facts, session.facts)) {
      return new MeshError('PEER_PROTOCOL', 'another stream between the two leaders is kept')
    }
    this.#epochMax = hello.epoch
    this.#active = session
    this.#greetings.delete(session)
    this.#problem = undefined
    this.#backoff.reset()
    this.#cancelRetry()
    this.#dial?.abort()
    current?.close('another stream between the two leaders is kept')
    this.heard(undefined)
    this.#options.host.greeted(this, hello)
    return undefined
  }

  snapshot(snapshot: Snapshot): boolean {
    this.#setView(applySnapshot(this.#view, snapshot))
    return this.#view.held !== undefined
  }

  delta(delta: Delta): void {
    this.#setView(applyDelta(this.#view, delta))
  }

  acked(version: number, rejected: readonly Rejection[]): void {
    this.#acked = Math.max(this.#acked, version)
    this.#rejected = rejected
    this.#options.host.statusChanged(this)
  }

  heard(data: DataState | undefined): void {
    this.#heardAt = this.#options.clock.monotonic()
    this.#heardWallMs = this.#options.clock.now()
    if (data !== undefined) this.#remoteData = data
    this.#showSync()
  }

  members(members: Members): void {
    this.#options.host.membersSaid(this, members)
  }

  trustRequest(csrPem: string): Promise<TrustAnswer> {
    return this.#options.host.trustRequest(this, csrPem)
  }

  trustGrant(answer: TrustAnswer): void {
    this.#options.host.trustGrant(this, answer)
  }

  closed(session: Session, reason: string): void {
    this.#greetings.delete(session)
    if (this.#active === session) {
      this.#active = undefined
      this.#options.host.statusChanged(this)
    }
    if (this.#active === undefined) this.#retry(reason)
  }

  // === inside ===

  #setView(view: PeerView): void {
    this.#view = view
    this.#options.host.viewChanged(this)
  }

  #beat(): void {
    const session = this.#active
    session?.heartbeat(this.dataState)
    if (session !== undefined && session.facts.silentMs > SILENCE_MAX_MS) {
      session.close(`PEER_SILENT: nothing heard for ${Math.round(session.facts.silentMs / 1000)} s`)
    }
    this.#showSync()
  }

  #showSync(): void {
    const { state } = this.sync
    if (state === this.#shownSync) return
    this.#shownSync = state
    this.#options.host.statusChanged(this)
  }

  #retry(reason: string): void {
    this.#problem = reason
    if (this.#stopped || this.#dial !== undefined) return
    this.#cancelRetry()
    this.#cancelRetry = this.#options.clock.after(this.#backoff.next(), () => this.#dialNext())
  }

  #dialNext(): void {
    if (this.#stopped || this.#active !== undefined || this.#dial !== undefined) return
    const { gateways } = this.#peer
    const address = gateways[this.#nextGateway % Math.max(1, gateways.length)]
    this.#nextGateway += 1
    if (address === undefined) return this.#retry('PEER_INVALID: no gateway address is known')
    const abort = new AbortController()
    this.#dial = abort
    const cancelTimeout = this.#options.clock.after(DIAL_TIMEOUT_MS, () => abort.abort())
    const { cluster } = this.#options.host
    this.#options.dialler
      .dial({ peer: this.#peer, address, signal: abort.signal }, (channel) => this.#greet(channel, cluster))
      .then(
        () => undefined,
        (error: unknown) => `${address}: ${messageOf(error)}`,
      )
      .then((failure) => {
        cancelTimeout()
        this.#dial = undefined
        if (this.#stopped || this.#active !== undefined || (failure === undefined && this.#greetings.size > 0)) return
        this.#retry(failure ?? this.#problem ?? 'the stream closed at once')
      }, rethrow)
  }

  #greet(channel: Channel, dialledBy: string): ChannelEvents {
    const session = new Session({ host: this, clock: this.#options.clock, channel, dialledBy })
    if (this.#stopped || this.#greetings.size >= GREETINGS_MAX) {
      channel.close('this leader takes no more streams')
      session.closed('this leader takes no more streams')
      return session
    }
    this.#greetings.add(session)
    session.start()
    return session
  }
}

const NOTHING_TO_SAY = (): void => {}

/** A bug in our own callbacks must not pass for a failed dial. */
function rethrow(error: unknown): never {
  throw error
}
