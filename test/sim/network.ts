/**
 * What lies between clusters: streams that keep their order until they break, probes that come back or do not, and cuts
 * of either, per direction. A cut loses no byte of a stream by itself (TCP sends again); what it hides is that the other
 * end is gone.
 */
import type { Channel, ChannelEvents, PeerMessage } from '../../federation/peers/message.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Process, SimTime } from './time.ts'

/** Of one direction between two clusters. */
export interface Path {
  controlCut: boolean
  dataCut: boolean
  delayMs: number
  /** Share of messages that take a retransmission longer. */
  loss: number
  /** Shares of messages that come twice, or one place later; a stream that is proxied badly. */
  twice: number
  swapped: number
}

const RETRANSMIT_MS = 300
const RETRANSMIT_MAX_MS = 3_000
/** What a connection may hold under way: a peer that takes nothing must not make the sender grow without end. */
export const UNDER_WAY_MAX = 5_000

export type Accept = (from: string, channel: Channel) => ChannelEvents | undefined
export interface Door {
  readonly process: Process
  readonly accept: Accept
}

export class SimNetwork {
  readonly time: SimTime
  readonly random: Random
  readonly #paths = new Map<string, Path>()
  readonly streams = new Set<SimStream>()
  /** Cluster → where its gateway leads now; undefined while no leader listens. */
  readonly doors = new Map<string, () => Door | undefined>()
  /** Cluster → whether a pod behind its gateway answers. */
  readonly answers = new Map<string, () => boolean>()
  /** Sees every message as it is sent, on which stream and from which end. */
  onSend: (stream: SimStream, from: Side, message: PeerMessage) => void = () => {}

  /** For a story with every message in it. */
  trace: ((line: string) => void) | undefined

  constructor(time: SimTime, random: Random) {
    this.time = time
    this.random = random
  }

  path(from: string, to: string): Path {
    const key = `${from}>${to}`
    let path = this.#paths.get(key)
    if (path === undefined) {
      path = { controlCut: false, dataCut: false, delayMs: 5, loss: 0, twice: 0, swapped: 0 }
      this.#paths.set(key, path)
    }
    return path
  }

  heal(): void {
    for (const path of this.#paths.values()) {
      Object.assign(path, { controlCut: false, dataCut: false, delayMs: 5, loss: 0, twice: 0, swapped: 0 })
    }
  }

  /** Somebody between forgot the connection: nothing passes any more, and nobody is told. */
  forgetStreams(one: string, other: string): void {
    for (const stream of this.streams) if (stream.isBetween(one, other)) stream.forgotten = true
  }

  dial(
    from: { readonly cluster: string; readonly process: Process },
    to: string,
    signal: AbortSignal,
    accept: (channel: Channel) => ChannelEvents,
  ): Promise<void> {
    const { time } = this
    return new Promise((resolve, reject) => {
      const fail = (reason: string): void => void time.after(0, () => reject(new Error(reason)), from.process)
      if (signal.aborted) return fail('aborted')
      signal.addEventListener('abort', () => reject(new Error('no answer in time')), { once: true })
      const there = this.path(from.cluster, to)
      const back = this.path(to, from.cluster)
      if (there.controlCut || back.controlCut) return // no answer: the caller's own limit ends it
      time.after(there.delayMs + back.delayMs, () => {
        const door = this.doors.get(to)?.()
        if (door === undefined) return fail('connection refused')
        // A handshake needs the process: one that stands still takes the connection and says nothing.
        time.after(
          0,
          () => {
            if (signal.aborted || from.process.dead) return
            const stream = new SimStream(this, [from.cluster, to], [from.process, door.process])
            const far = door.accept(from.cluster, stream.ends[1])
            if (far === undefined) return fail('refused by the other cluster')
            stream.open(1, far)
            const connected = (): void => {
              if (signal.aborted) return stream.close(0, 'aborted')
              stream.open(0, accept(stream.ends[0]))
              resolve()
            }
            time.after(back.delayMs, connected, from.process)
          },
          door.process,
        )
      })
    })
  }

  /** One probe of the data path; it never comes back when either direction is cut. */
  probe(from: { readonly cluster: string; readonly process: Process }, to: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('no answer in time')), { once: true })
      const there = this.path(from.cluster, to)
      const back = this.path(to, from.cluster)
      if (there.dataCut || back.dataCut) return
      const roundTripMs = there.delayMs + back.delayMs
      this.time.after(
        roundTripMs,
        () => (this.answers.get(to)?.() === true ? resolve() : reject(new Error('refused'))),
        from.process,
      )
    })
  }
}

export type Side = 0 | 1

type Packet = { readonly message: PeerMessage | undefined } | { readonly closed: string }

/** One direction: packets in order, one delivery under way. */
interface Lane {
  readonly packets: { readonly packet: Packet; readonly at: number }[]
  /** Of the last packet that entered: none overtakes it. */
  last: number
  pumping: boolean
}

const lane = (): Lane => ({ packets: [], last: 0, pumping: false })

/** Both directions of one connection. */
export class SimStream {
  readonly #network: SimNetwork
  readonly clusters: readonly [string, string]
  readonly processes: readonly [Process, Process]
  readonly ends: readonly [Channel, Channel]
  readonly #events: [ChannelEvents | undefined, ChannelEvents | undefined] = [undefined, undefined]
  /** What arrived before the end was built. */
  readonly #early: readonly [Packet[], Packet[]] = [[], []]
  /** By who receives. */
  readonly #lanes: readonly [Lane, Lane] = [lane(), lane()]
  readonly #closed: [boolean, boolean] = [false, false]
  forgotten = false
  /** Of the first Hello that each side has sent; for who watches. */
  readonly epochs: [number | undefined, number | undefined] = [undefined, undefined]

  constructor(network: SimNetwork, clusters: [string, string], processes: [Process, Process]) {
    this.#network = network
    this.clusters = clusters
    this.processes = processes
    this.ends = [this.#end(0), this.#end(1)]
    network.streams.add(this)
  }

  get underWay(): number {
    return this.#lanes[0].packets.length + this.#lanes[1].packets.length
  }

  isBetween(one: string, another: string): boolean {
    return this.clusters.includes(one) && this.clusters.includes(another)
  }

  open(side: Side, events: ChannelEvents): void {
    this.#events[side] = events
    for (const packet of this.#early[side].splice(0)) this.#hand(side, packet)
  }

  /** The kernel's part when a process dies. */
  processGone(process: Process): void {
    for (const side of [0, 1] as const) if (this.processes[side] === process) this.close(side, 'the process is gone')
  }

  close(side: Side, reason: string): void {
    if (this.#closed[side]) return
    this.#closed[side] = true
    this.#send(other(side), { closed: reason })
    this.#tidy()
  }

  /** For adversaries: bytes that are no message, or one that nobody else would send. */
  inject(from: Side, message: PeerMessage | undefined): void {
    if (!this.#closed[from]) this.#send(other(from), { message })
  }

  #end(side: Side): Channel {
    return {
      send: (message) => {
        if (this.#closed[side] || this.processes[side].dead) return
        if (message.kind === 'hello') this.epochs[side] ??= message.hello.epoch
        this.#network.onSend(this, side, message)
        // What is said is what it was when it was said.
        this.#send(other(side), { message: structuredClone(message) })
      },
      close: (reason) => this.close(side, reason),
    }
  }

  #send(to: Side, packet: Packet): void {
    const { time, random } = this.#network
    const path = this.#path(to)
    const { packets } = this.#lanes[to]
    const delayMs = path.delayMs * (0.5 + random.next()) + (random.next() < path.loss ? RETRANSMIT_MS : 0)
    const at = Math.max(this.#lanes[to].last, time.now + delayMs)
    this.#lanes[to].last = at
    const isMessage = 'message' in packet
    if (isMessage && packets.length > 0 && random.next() < path.swapped) packets.splice(-1, 0, { packet, at })
    else packets.push({ packet, at })
    if (isMessage && random.next() < path.twice) packets.push({ packet, at })
    if (packets.length > UNDER_WAY_MAX) time.failure ??= new Error('a stream holds more than any limit allows')
    this.#pump(to)
  }

  #pump(to: Side): void {
    const own = this.#lanes[to]
    const [first] = own.packets
    if (own.pumping || first === undefined) return
    own.pumping = true
    const { time } = this.#network
    time.after(first.at - time.now, () => this.#arrive(to))
  }

  #arrive(to: Side): void {
    const own = this.#lanes[to]
    const { time, random } = this.#network
    if (this.forgotten) return void own.packets.splice(0)
    if (this.#path(to).controlCut) {
      // Sent again until it passes; what follows waits behind it.
      time.after(RETRANSMIT_MS + (RETRANSMIT_MAX_MS - RETRANSMIT_MS) * random.next(), () => this.#arrive(to))
      return
    }
    own.pumping = false
    const first = own.packets.shift()
    if (first !== undefined) {
      if (this.processes[to].dead) this.#reset(to, first.packet)
      else time.after(0, () => this.#hand(to, first.packet), this.processes[to])
    }
    this.#pump(to)
  }

  /** Nobody is there any more: the host answers for it. */
  #reset(to: Side, packet: Packet): void {
    this.#closed[to] = true
    if ('message' in packet) this.#send(other(to), { closed: 'connection reset' })
    this.#tidy()
  }

  #hand(to: Side, packet: Packet): void {
    const events = this.#events[to]
    if (events === undefined) return void this.#early[to].push(packet)
    if ('closed' in packet) {
      this.#closed[to] = true
      this.#network.trace?.(`${this.clusters[to]} sees ${this.clusters[other(to)]} close: ${packet.closed}`)
      events.closed(packet.closed)
      return this.#tidy()
    }
    if (this.#closed[to]) return
    this.#network.trace?.(`${this.clusters[to]} hears ${this.clusters[other(to)]}: ${brief(packet.message)}`)
    events.message(packet.message)
  }

  #path(to: Side): Path {
    return this.#network.path(this.clusters[other(to)], this.clusters[to])
  }

  #tidy(): void {
    if (this.#closed[0] && this.#closed[1]) this.#network.streams.delete(this)
  }
}

export const other = (side: Side): Side => (side === 0 ? 1 : 0)

function brief(message: PeerMessage | undefined): string {
  if (message === undefined) return 'garbage'
  const names = (list: readonly { name: string; uid: string }[]): string =>
    list.map(({ name, uid }) => `${name}/${uid.slice(0, 4)}`).join()
  switch (message.kind) {
    case 'hello':
      return `hello, epoch ${message.hello.epoch}`
    case 'snapshot':
      return `snapshot ${message.version} of ${names(message.services)}, without ${names(message.withdrawals)}`
    case 'delta':
      return `delta ${message.baseVersion} to ${message.version} with ${names(message.upserts)}, without ${names(message.withdrawals)}`
    case 'ack':
      return `ack ${message.version}${message.held ? ', held' : ''}`
    default:
      return message.kind
  }
}
