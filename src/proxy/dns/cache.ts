/**
 * What resolvers answered, for as long as they said and no longer than a while. Bounded in answers and in bytes; the one
 * that was used longest ago goes first. Whole answers: of a hit only id, question and TTLs are written anew.
 */
import type { Query, Reply } from './wire.ts'

export const CACHE_ANSWERS_MAX = 2_048
export const CACHE_BYTES_MAX = 1_048_576
/** Large answers are rare, and a few would take the place of everything else. */
const ANSWER_BYTES_MAX = 4_096
/** A name that changed its place is found again within this, whatever its zone says. */
const TTL_MAX_S = 300
/** AD and CD (RFC 6840 5.7, 5.9): what a client asks for beside the question. */
const ASKED_FLAGS = 0x0030
const FLAG_RECURSION_DESIRED = 0x0100
const HEADER_BYTES = 12

interface Entry {
  readonly bytes: Buffer
  readonly ttlsAt: readonly number[]
  readonly storedMs: number
  readonly untilMs: number
}

export class AnswerCache {
  readonly #now: () => number
  /** Least recently used first: a Map keeps the order in which keys were set. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  get size(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#bytes
  }

  put(query: Query, bytes: Buffer, { ttlS, ttlsAt }: Reply): void {
    if (ttlS <= 0 || bytes.length > ANSWER_BYTES_MAX) return
    const key = keyOf(query)
    this.#drop(key)
    const storedMs = this.#now()
    const untilMs = storedMs + Math.min(ttlS, TTL_MAX_S) * 1_000
    this.#entries.set(key, { bytes, ttlsAt, storedMs, untilMs })
    this.#bytes += bytes.length
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= CACHE_ANSWERS_MAX && this.#bytes <= CACHE_BYTES_MAX) break
      this.#drop(oldest)
    }
  }

  get(query: Query): Buffer | undefined {
    const key = keyOf(query)
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    const now = this.#now()
    if (now >= entry.untilMs) {
      this.#bytes -= entry.bytes.length
      return undefined
    }
    this.#entries.set(key, entry)
    return renewed(entry, query, Math.floor((now - entry.storedMs) / 1_000))
  }

  #drop(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes.length
  }
}

function keyOf({ name, type, edns, bytes }: Query): string {
  const way = edns === undefined ? 'plain' : edns.dnssec ? 'do' : 'edns'
  return `${name}|${type}|${way}|${bytes.readUInt16BE(2) & ASKED_FLAGS}`
}

function renewed({ bytes, ttlsAt }: Entry, query: Query, ageS: number): Buffer {
  const reply = Buffer.from(bytes)
  reply.writeUInt16BE(query.id, 0)
  const desired = query.recursionDesired ? FLAG_RECURSION_DESIRED : 0
  reply.writeUInt16BE((reply.readUInt16BE(2) & ~FLAG_RECURSION_DESIRED) | desired, 2)
  query.bytes.copy(reply, HEADER_BYTES, HEADER_BYTES, query.questionEnd)
  for (const at of ttlsAt) reply.writeUInt32BE(Math.max(0, reply.readUInt32BE(at) - ageS), at)
  return reply
}
