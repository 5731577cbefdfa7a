/**
 * One question in, one answer out: what is ours from the table, the rest from the pod's resolvers through a cache. The
 * only file that decides which; sockets are server.ts's. Own names are answered whatever becomes of the resolvers.
 */
import type { DnsName } from '../../model/dns.ts'
import type { Clock } from '../../runtime/clock.ts'
import { writeAnswer } from './answer.ts'
import { AnswerCache } from './cache.ts'
import { Names } from './names.ts'
import type { Resolvers } from './resolv-conf.ts'
import { type Answered, Upstream } from './upstream.ts'
import { bytesMax, errorReply, type Query, RCODE, readQuery, truncatedReply } from './wire.ts'

/** Questions asked of resolvers and not answered yet; each holds a socket. */
export const WAITING_MAX = 512

/** What became of questions, in the words of `isthmus_dns_queries_total`. */
export const OUTCOMES = ['own', 'cached', 'forwarded', 'refused', 'failed', 'overflow'] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface DnsOptions {
  readonly resolvers: Resolvers
  readonly clock: Clock
}

export class DnsService {
  readonly #search: readonly string[]
  readonly #cache: AnswerCache
  readonly #upstream: Upstream
  readonly counts: Record<Outcome, number> = { own: 0, cached: 0, forwarded: 0, refused: 0, failed: 0, overflow: 0 }
  #table: ReadonlyMap<string, DnsName> | undefined
  #names: Names
  #waiting = 0

  constructor({ resolvers, clock }: DnsOptions) {
    this.#search = resolvers.search
    this.#cache = new AnswerCache(() => clock.monotonic())
    this.#upstream = new Upstream(resolvers.servers, clock)
    this.#names = new Names(undefined, this.#search)
  }

  /** The table as the control plane has it now; the same one again costs nothing. */
  apply(names: ReadonlyMap<string, DnsName>): void {
    if (names === this.#table) return
    this.#table = names
    this.#names = new Names(names, this.#search)
  }

  get waiting(): number {
    return this.#waiting
  }

  get cached(): number {
    return this.#cache.size
  }

  get known(): number {
    return this.#table?.size ?? 0
  }

  handle(message: Buffer, transport: 'udp' | 'tcp', reply: (bytes: Buffer | undefined) => void): void {
    const read = readQuery(message)
    if (read === undefined || 'reply' in read) {
      this.counts.refused += 1
      return reply(read?.reply)
    }
    const { query } = read
    const found = this.#names.find(query.name, query.type)
    if (found !== undefined) {
      this.counts.own += 1
      return reply(writeAnswer(query, found.answer, found.zone, transport))
    }
    const cached = this.#cache.get(query)
    if (cached !== undefined) {
      this.counts.cached += 1
      return reply(fitting(query, cached, transport))
    }
    if (this.#waiting >= WAITING_MAX) {
      this.counts.overflow += 1
      return reply(errorReply(query, RCODE.servFail))
    }
    this.#waiting += 1
    this.#upstream.ask(query, transport, (answer) => {
      this.#waiting -= 1
      reply(this.#told(query, answer, transport))
    })
  }

  #told(query: Query, answer: Answered | undefined, transport: 'udp' | 'tcp'): Buffer {
    if (answer === undefined) {
      this.counts.failed += 1
      return errorReply(query, RCODE.servFail)
    }
    this.counts.forwarded += 1
    this.#cache.put(query, answer.bytes, answer.reply)
    return fitting(query, answer.bytes, transport)
  }
}

function fitting(query: Query, reply: Buffer, transport: 'udp' | 'tcp'): Buffer {
  return reply.length <= bytesMax(query, transport) ? reply : truncatedReply(query, reply.readUInt16BE(2) & 0xf)
}
