/**
 * One stream to one peer, from Hello to close; the same on both ends. Reads and answers messages, knows nothing of
 * sockets (Channel) nor of what the statements mean for this cluster (SessionHost, the peer's link). States:
 * `greeting` until the peer's Hello is accepted, `open` while statements flow, `closed` for good.
 */
import type { Cancel, Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import type { Announcement } from '../exports/announcement.ts'
import { Outbox } from '../exports/announcement.ts'
import { exportKey, type Export, type Withdrawal } from '../exports/export.ts'
import type { Delta, Snapshot } from '../exports/view.ts'
import { admit, SERVICES_PER_PEER_MAX } from './admit.ts'
import type { StreamFacts } from './keep.ts'
import {
  PROTOCOL,
  type Channel,
  type ChannelEvents,
  type DataState,
  type Hello,
  type Members,
  type PeerMessage,
  type Rejection,
  type TrustAnswer,
} from './message.ts'

const GREETING_MS = 5_000
const WITHDRAWALS_MAX = 10_000
const ACKS_MAX = 1_000
const REJECTIONS_MAX = 100 // of one Ack; the rest is in the sender's own interest to fix first

export interface SessionHost {
  /** The peer's name and trust domain as its certificate says. */
  readonly peer: string
  readonly trustDomain: string
  hello(): Hello
  /** Judges the peer's Hello: an error refuses the stream, none makes it the peer's one open stream. */
  greeted(session: Session, hello: Hello): MeshError | undefined
  /** Keys known from the peer, for its quota. */
  known(): ReadonlySet<string>
  announcement(): Announcement
  /** Whether part of the snapshot is held. */
  snapshot(snapshot: Snapshot): boolean
  delta(delta: Delta): void
  acked(version: number, rejected: readonly Rejection[]): void
  heard(data: DataState | undefined): void
  members(members: Members): void
  trustRequest(csrPem: string): Promise<TrustAnswer>
  trustGrant(answer: TrustAnswer): void
  closed(session: Session, reason: string): void
}

interface Parts {
  readonly version: number
  readonly services: Map<string, Export>
  readonly withdrawals: Withdrawal[]
  readonly rejected: Rejection[]
}

export class Session implements ChannelEvents {
  readonly #host: SessionHost
  readonly #clock: Clock
  readonly #channel: Channel
  readonly #dialledBy: string
  readonly #outbox: Outbox
  readonly #cancelGreeting: Cancel
  #state: 'greeting' | 'open' | 'closed' = 'greeting'
  #epoch = 0
  #heardAt: number
  #seq = 0
  /** The peer's version that we have; undefined before its first snapshot. */
  #version: number | undefined
  #parts: Parts | undefined
  #cancelPaced: Cancel = () => {}
  /** What the peer is not told yet: an Ack says that this cluster has written it down. */
  readonly #acks: Extract<PeerMessage, { kind: 'ack' }>[] = []
  #acksHeard = 0

  constructor(options: { host: SessionHost; clock: Clock; channel: Channel; dialledBy: string }) {
    this.#host = options.host
    this.#clock = options.clock
    this.#channel = options.channel
    this.#dialledBy = options.dialledBy
    this.#outbox = new Outbox(options.host.peer)
    this.#heardAt = options.clock.monotonic()
    this.#cancelGreeting = options.clock.after(GREETING_MS, () => this.close('no Hello came'))
  }

  /** Apart from the constructor, because a channel may answer while it is still being built. */
  start(): void {
    this.#channel.send({ kind: 'hello', hello: this.#host.hello() })
  }

  get facts(): StreamFacts {
    return { dialledBy: this.#dialledBy, epoch: this.#epoch, silentMs: this.#clock.monotonic() - this.#heardAt }
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  /** How many services the peer was told. */
  get exported(): number {
    return this.#outbox.services
  }

  /** Tells the peer what it does not know yet; counts wait for their second. */
  announce(): void {
    if (this.#state !== 'open') return
    this.#cancelPaced()
    const now = this.#clock.monotonic()
    const { messages, againAt } = this.#outbox.next(this.#host.announcement(), now)
    for (const message of messages) this.#channel.send(message)
    if (againAt !== undefined) this.#cancelPaced = this.#clock.after(againAt - now, () => this.announce())
  }

  /** Acknowledges what had come until now, once the caller has written it down. */
  acknowledgement(): () => void {
    const until = this.#acksHeard
    return () => {
      const written = this.#acks.splice(0, Math.max(0, this.#acks.length - (this.#acksHeard - until)))
      const last = written.at(-1)
      if (last === undefined) return
      const rejected = written.flatMap((each) => each.rejected).slice(0, REJECTIONS_MAX)
      this.send({ ...last, rejected })
    }
  }

  heartbeat(data: DataState): void {
    if (this.#state === 'open') this.#channel.send({ kind: 'heartbeat', seq: ++this.#seq, data })
  }

  send(message: PeerMessage): void {
    if (this.#state === 'open') this.#channel.send(message)
  }

  close(reason: string): void {
    if (this.#state === 'closed') return
    this.#channel.close(reason)
    this.closed(reason)
  }

  // === from the channel ===

  closed(reason: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancelGreeting()
    this.#cancelPaced()
    this.#host.closed(this, reason)
  }

  message(message: PeerMessage | undefined): void {
    if (this.#state === 'closed') return
    this.#heardAt = this.#clock.monotonic()
    if (message === undefined) return this.close('PEER_PROTOCOL: bytes that are no message')
    if (message.kind === 'hello') return this.#hello(message.hello)
    if (this.#state !== 'open') return this.close(`PEER_PROTOCOL: ${message.kind} before Hello`)
    this.#host.heard(message.kind === 'heartbeat' ? message.data : undefined)
    this.#read(message)
  }

  #hello(hello: Hello): void {
    if (this.#state !== 'greeting') return this.close('PEER_PROTOCOL: a second Hello')
    this.#epoch = hello.epoch
    const refusal = versionRefusal(hello) ?? this.#host.greeted(this, hello)
    if (refusal !== undefined) return this.close(`${refusal.code}: ${refusal.message}`)
    this.#state = 'open'
    this.#cancelGreeting()
    if (hello.members !== undefined) this.#host.members(hello.members)
    this.announce()
  }

  #read(message: Exclude<PeerMessage, { kind: 'hello' }>): void {
    switch (message.kind) {
      case 'snapshot':
        return this.#snapshot(message)
      case 'delta':
        return this.#delta(message)
      case 'ack':
        return this.#host.acked(message.version, message.rejected)
      case 'heartbeat':
        return
      case 'members':
        return this.#host.members(message.members)
      case 'trust-request':
        return void this.#host.trustRequest(message.csrPem).then((answer) => this.send({ kind: 'trust-grant', answer }))
      case 'trust-grant':
        return this.#host.trustGrant(message.answer)
    }
  }

  #snapshot(message: Extract<PeerMessage, { kind: 'snapshot' }>): void {
    this.#parts ??= { version: message.version, services: new Map(), withdrawals: [], rejected: [] }
    const parts = this.#parts
    const { admitted, rejected } = admit(message.services, this.#host.trustDomain, new Set(parts.services.keys()))
    for (const service of admitted) parts.services.set(exportKey(service), service)
    parts.withdrawals.push(...message.withdrawals)
    parts.rejected.push(...rejected)
    const many = parts.withdrawals.length > WITHDRAWALS_MAX || parts.rejected.length > SERVICES_PER_PEER_MAX
    if (many) return this.close('PEER_PROTOCOL: a snapshot beyond every limit')
    if (!message.last) return
    this.#parts = undefined
    this.#version = parts.version
    const withdrawals = [...parts.withdrawals, ...asWithdrawals(parts.rejected, parts.version)]
    const services = [...parts.services.values()]
    const held = this.#host.snapshot({ version: parts.version, services, withdrawals })
    this.#ack(parts.version, parts.rejected, held)
  }

  #delta(message: Extract<PeerMessage, { kind: 'delta' }>): void {
    // The stream is ordered: a gap means that one end is wrong about the other, and a new snapshot settles it.
    if (this.#version !== message.baseVersion) return this.close('PEER_PROTOCOL: a delta that does not follow')
    if (message.withdrawals.length > WITHDRAWALS_MAX) return this.close('PEER_PROTOCOL: too many withdrawals')
    const { admitted, rejected } = admit(message.upserts, this.#host.trustDomain, this.#host.known())
    this.#version = message.version
    const withdrawals = [...message.withdrawals, ...asWithdrawals(rejected, message.version)]
    this.#host.delta({ version: message.version, upserts: admitted, withdrawals })
    this.#ack(message.version, rejected, false)
  }

  #ack(version: number, rejected: readonly Rejection[], held: boolean): void {
    this.#acksHeard += 1
    this.#acks.push({ kind: 'ack', version, rejected: rejected.slice(0, REJECTIONS_MAX), held })
    // Nobody writes down so slowly but one whose API server is away: the newest says enough.
    if (this.#acks.length > ACKS_MAX) this.#acks.shift()
  }
}

/** What is refused now may have been fine before: the peer no longer stands by that, so it goes. */
function asWithdrawals(rejected: readonly Rejection[], version: number): readonly Withdrawal[] {
  return rejected.map(({ namespace, name }) => ({ namespace, name, uid: '', version }))
}

function versionRefusal(hello: Hello): MeshError | undefined {
  const common = Math.min(hello.versionMax, PROTOCOL.max)
  if (common >= Math.max(hello.versionMin, PROTOCOL.min)) return undefined
  const [theirs, ours] = [`${hello.versionMin} to ${hello.versionMax}`, `${PROTOCOL.min} to ${PROTOCOL.max}`]
  return new MeshError('PEER_VERSION', `the peer speaks protocol versions ${theirs}, this cluster ${ours}`)
}
