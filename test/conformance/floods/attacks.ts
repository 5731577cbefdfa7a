/**
 * HTTP/2 floods (security.md's list and the CVEs behind it): each sends frames that cost the receiver work, answers or
 * memory for next to nothing, until it is cut off. Raw sockets and frames by hand: no client would do this.
 */
import { connect, type Socket } from 'node:net'
import { systemClock } from '../../../src/runtime/clock.ts'
import { block, frame, GET, HELLO, POST, words } from '../../harness/frames.ts'

export interface Attack {
  readonly name: string
  /** CVE or RFC section. */
  readonly origin: string
  /** Sent once, after the preface. */
  readonly opening?: Buffer
  /** The flood's next bytes; `round` counts from 0. */
  readonly next: (round: number) => Buffer
  /** It never takes what it is sent. */
  readonly deaf?: true
}

const DATA = 0
const HEADERS = 1
const PRIORITY = 2
const RST = 3
const SETTINGS = 4
const PING = 6
const GOAWAY = 7
const WINDOW_UPDATE = 8
const CONTINUATION = 9
const END_STREAM = 1
const END_HEADERS = 4

/** Of the bystander's requests. */
const INTERVAL_MS = 5
/** Frames per write: a round fills about one TCP segment or more, as an attacker would. */
const BURST = 50

const burst = (make: (index: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: BURST }, (_, n) => make(n)))
const streamId = (round: number, index: number): number => 1 + 2 * (round * BURST + index)
const headers = (id: number, fields = GET, flags = END_HEADERS | END_STREAM): Buffer =>
  frame(HEADERS, flags, id, fields)
const small = Buffer.from([0x00, 0x01, 0x78, 0x01, 0x79]) // a literal x: y, not indexed

/** Entries of 4,000 bytes; each further byte refers to one of them. */
const BOMB_FIELD = Buffer.concat([Buffer.from([0x40, 0x01, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4_000, 'b')])
const bomb = (references: number): Buffer => Buffer.concat([GET, BOMB_FIELD, Buffer.alloc(references, 0xbe)])

export const ATTACKS: readonly Attack[] = [
  {
    name: 'rapid reset',
    origin: 'CVE-2023-44487',
    next: (round) =>
      burst((index) =>
        Buffer.concat([headers(streamId(round, index)), frame(RST, 0, streamId(round, index), words(8))]),
      ),
  },
  {
    name: 'made you reset: window overflow',
    origin: 'CVE-2025-8671',
    next: (round) =>
      burst((index) => {
        const id = streamId(round, index)
        return Buffer.concat([headers(id, POST, END_HEADERS), frame(WINDOW_UPDATE, 0, id, words(0))])
      }),
  },
  {
    name: 'made you reset: data behind the end',
    origin: 'CVE-2025-8671',
    next: (round) =>
      burst((index) => {
        const id = streamId(round, index)
        return Buffer.concat([headers(id), frame(DATA, 0, id, Buffer.from('x'))])
      }),
  },
  {
    name: 'endless CONTINUATION',
    origin: 'CVE-2024-27316',
    opening: frame(HEADERS, END_STREAM, 1, GET),
    next: () => burst(() => frame(CONTINUATION, 0, 1, small)),
  },
  {
    name: 'endless empty CONTINUATION',
    origin: 'CVE-2024-27316',
    opening: frame(HEADERS, END_STREAM, 1, GET),
    next: () => burst(() => frame(CONTINUATION, 0, 1)),
  },
  { name: 'PING', origin: 'CVE-2019-9512', next: () => burst(() => frame(PING, 0, 0, Buffer.alloc(8))) },
  {
    name: 'PING, answers unread',
    origin: 'CVE-2019-9512',
    deaf: true,
    next: () => burst(() => frame(PING, 0, 0, Buffer.alloc(8))),
  },
  { name: 'SETTINGS', origin: 'CVE-2019-9515', next: () => burst(() => frame(SETTINGS, 0, 0)) },
  {
    name: 'SETTINGS with many values',
    origin: 'CVE-2019-9515',
    next: (round) => burst((index) => frame(SETTINGS, 0, 0, settingsOf(round + index))),
  },
  {
    name: 'GOAWAY',
    origin: 'RFC 9113 10.5',
    opening: headers(1, POST, END_HEADERS),
    next: () => burst(() => frame(GOAWAY, 0, 0, words(0, 0))),
  },
  {
    name: 'empty DATA',
    origin: 'CVE-2019-9518',
    opening: headers(1, POST, END_HEADERS),
    next: () => burst(() => frame(DATA, 0, 1)),
  },
  {
    name: 'padding without data',
    origin: 'CVE-2019-9518',
    opening: headers(1, POST, END_HEADERS),
    next: () => burst(() => frame(DATA, 8, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)]))),
  },
  {
    name: 'PRIORITY',
    origin: 'CVE-2019-9513',
    next: () => burst((index) => frame(PRIORITY, 0, 3 + 2 * index, Buffer.concat([words(1), Buffer.from([9])]))),
  },
  { name: 'WINDOW_UPDATE', origin: 'CVE-2019-9511', next: () => burst(() => frame(WINDOW_UPDATE, 0, 0, words(1))) },
  { name: 'unknown frames', origin: 'RFC 9113 5.5', next: () => burst(() => frame(0xee, 0, 0, Buffer.alloc(8))) },
  {
    name: 'fields without a name',
    origin: 'CVE-2019-9516',
    next: (round) => burst((index) => headers(streamId(round, index), Buffer.concat([GET, Buffer.alloc(600)]))),
  },
  {
    name: 'HPACK bomb',
    origin: 'CVE-2016-6581',
    next: (round) => headers(streamId(round, 0), bomb(12_000)),
  },
  {
    name: 'frames on closed streams',
    origin: 'RFC 9113 5.1',
    opening: Buffer.concat([headers(1), frame(RST, 0, 1, words(8))]),
    next: () => burst(() => frame(RST, 0, 1, words(8))),
  },
  {
    name: 'streams beyond the limit',
    origin: 'RFC 9113 5.1.2',
    next: (round) => burst((index) => headers(streamId(round, index), POST, END_HEADERS)),
  },
  {
    name: 'answers unread',
    origin: 'CVE-2019-9517',
    deaf: true,
    next: (round) =>
      burst((index) =>
        headers(
          streamId(round, index),
          block(':method', 'GET', ':scheme', 'http', ':path', '/none', ':authority', 'a'),
        ),
      ),
  },
]

function settingsOf(round: number): Buffer {
  const pairs = Buffer.alloc(6 * 1_000)
  for (let index = 0; index < 1_000; index++) {
    pairs.writeUInt16BE(4, index * 6)
    pairs.writeUInt32BE(1_000 + ((round + index) % 60_000), index * 6 + 2)
  }
  return pairs
}

export interface Cut {
  /** Undefined: it was never cut. */
  readonly afterMs: number | undefined
  readonly sentBytes: number
}

/** Floods until cut, at most `limitMs` and `limitBytes`. */
export function flood(port: number, attack: Attack, limits: { ms: number; bytes: number }): Promise<Cut> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const startedAt = systemClock.monotonic()
    let sentBytes = 0
    let over = false
    const finish = (cut: boolean): void => {
      if (over) return
      over = true
      cancel()
      socket.destroy()
      resolve({ afterMs: cut ? systemClock.monotonic() - startedAt : undefined, sentBytes })
    }
    const cancel = systemClock.after(limits.ms, () => finish(false))
    socket.on('error', () => finish(true))
    socket.on('close', () => finish(true))
    socket.on('end', () => finish(true))
    if (attack.deaf === true) socket.pause()
    else socket.resume()
    socket.on('connect', () => {
      socket.write(Buffer.concat([HELLO, attack.opening ?? Buffer.alloc(0)]))
      let round = 0
      const more = (): void => {
        if (over) return
        if (sentBytes > limits.bytes) return finish(false)
        const bytes = attack.next(round++)
        sentBytes += bytes.length
        if (socket.write(bytes)) setImmediate(more)
        else socket.once('drain', more)
      }
      more()
    })
  })
}

/** A client as there are many: 200 requests a second over one HTTP/1.1 connection; each one's milliseconds. */
export class Bystander {
  readonly latencies: number[] = []
  failures = 0
  readonly #socket: Socket
  #answers = 0
  #sentAt = 0
  #stopped = false

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('error', () => this.failures++)
    this.#socket.on('connect', () => this.#ask())
    this.#socket.on('data', (chunk: Buffer) => {
      if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) this.failures++
      this.#answers++
      const now = systemClock.monotonic()
      this.latencies.push(now - this.#sentAt)
      const waitMs = this.#sentAt + INTERVAL_MS - now
      if (waitMs <= 0) this.#ask()
      else systemClock.after(waitMs, () => this.#ask())
    })
  }

  #ask(): void {
    if (this.#stopped) return
    this.#sentAt = systemClock.monotonic()
    this.#socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  }

  /** Whether one more request is answered, and none has failed. */
  async next(): Promise<boolean> {
    const before = this.#answers
    while (this.#answers === before && this.failures === 0) {
      await new Promise<void>((resolve) => systemClock.after(INTERVAL_MS, resolve))
    }
    return this.failures === 0
  }

  stop(): void {
    this.#stopped = true
    this.#socket.destroy()
  }

  /** Of what was measured since the last call. */
  take(): { readonly count: number; readonly p50: number; readonly p99: number } {
    const sorted = this.latencies.splice(0).toSorted((one, other) => one - other)
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    return { count: sorted.length, p50: at(0.5), p99: at(0.99) }
  }
}
