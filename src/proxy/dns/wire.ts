/**
 * DNS messages as bytes (RFC 1035, 6891): what clients ask and what resolvers answer, read strictly and within bounds.
 * Nothing here throws for what can arrive, and nothing is kept of it but offsets. Writing answers is answer.ts.
 */

/** What fits into one packet on any path (DNS flag day 2020); also the most that a client may ask in. */
export const MESSAGE_BYTES_MAX = 1_232
/** Without EDNS (RFC 1035 2.3.4). */
export const PLAIN_BYTES_MAX = 512
export const HEADER_BYTES = 12
const NAME_BYTES_MAX = 255
const LABEL_BYTES_MAX = 63
const OPT_HEAD_BYTES = 10
const RECORD_HEAD_BYTES = 10

export const RCODE = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const
export const TYPE = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const
export const CLASS_IN = 1
const FLAG_RESPONSE = 0x8000
const FLAG_TRUNCATED = 0x0200
const FLAG_RECURSION_DESIRED = 0x0100
const FLAG_RECURSION_AVAILABLE = 0x0080
const EXTENDED_BADVERS = 1

export interface Query {
  readonly id: number
  /** Lower case, without the final dot. */
  readonly name: string
  readonly type: number
  readonly recursionDesired: boolean
  /** Of the whole message: from the name's first byte to the class's last. */
  readonly questionEnd: number
  readonly bytes: Buffer
  /** Absent: the client speaks plain DNS. */
  readonly edns: Edns | undefined
}

export interface Edns {
  readonly payload: number
  /** Where the payload size stands. */
  readonly payloadAt: number
  /** DO, the only flag there is. */
  readonly dnssec: boolean
}

/** `reply`: nothing to be asked of anyone. Undefined: no answer at all (not a query, or too short to have an id). */
export type Read = { readonly query: Query } | { readonly reply: Buffer } | undefined

export function readQuery(bytes: Buffer): Read {
  if (bytes.length < HEADER_BYTES || (bytes.readUInt16BE(2) & FLAG_RESPONSE) !== 0) return undefined
  if (((bytes.readUInt16BE(2) >> 11) & 0xf) !== 0) return { reply: bare(bytes, RCODE.notImp) }
  const read = parse(bytes)
  if (read === undefined) return { reply: bare(bytes, RCODE.formErr) }
  const { query, version, isForUs } = read
  if (version !== 0) return { reply: badVersion(query) }
  return isForUs ? { query } : { reply: errorReply(query, RCODE.refused) }
}

interface Parsed {
  readonly query: Query
  /** Of EDNS. */
  readonly version: number
  /** Of the only class that there is any more, and no transfer of a zone. */
  readonly isForUs: boolean
}

/** One question, perhaps OPT, nothing more and nothing behind. */
function parse(bytes: Buffer): Parsed | undefined {
  const additionals = bytes.readUInt16BE(10)
  // Questions, answers, authorities.
  const isPlain = bytes.readUInt32BE(4) === 0x1_0000 && bytes.readUInt16BE(8) === 0 && additionals <= 1
  if (bytes.length > MESSAGE_BYTES_MAX || !isPlain) return undefined
  const name = readName(bytes, HEADER_BYTES)
  if (name === undefined || name.end + 4 > bytes.length) return undefined
  const questionEnd = name.end + 4
  const edns = additionals === 0 ? undefined : readOpt(bytes, questionEnd)
  const end = additionals === 0 ? questionEnd : edns?.end
  if (end !== bytes.length) return undefined
  const recursionDesired = (bytes.readUInt16BE(2) & FLAG_RECURSION_DESIRED) !== 0
  const type = bytes.readUInt16BE(name.end)
  const isForUs = bytes.readUInt16BE(name.end + 2) === CLASS_IN && type !== TYPE.AXFR && type !== TYPE.IXFR
  const query = { id: bytes.readUInt16BE(0), name: name.text, type, recursionDesired, questionEnd, bytes, edns }
  return { query, version: edns?.version ?? 0, isForUs }
}

/** Uncompressed: a question has nothing before it to point to. */
function readName(bytes: Buffer, from: number): { readonly text: string; readonly end: number } | undefined {
  let at = from
  for (;;) {
    const length = bytes[at]
    if (length === undefined || length > LABEL_BYTES_MAX) return undefined
    at += 1
    if (at - from > NAME_BYTES_MAX) return undefined
    if (length === 0) break
    // A dot inside a label would make two names of one.
    if (bytes.subarray(at, at + length).includes(0x2e)) return undefined
    at += length
  }
  let text = ''
  for (let index = from; index < at - 1;) {
    const length = bytes[index] ?? 0
    text += `${index === from ? '' : '.'}${bytes.toString('latin1', index + 1, index + 1 + length)}`
    index += 1 + length
  }
  return { text: text.replaceAll(/[A-Z]+/g, (upper) => upper.toLowerCase()), end: at }
}

/** The root's name, then OPT (RFC 6891 6.1.2); anything else in its place is not understood. */
function readOpt(bytes: Buffer, at: number): (Edns & { readonly version: number; readonly end: number }) | undefined {
  if (at + 1 + OPT_HEAD_BYTES > bytes.length || bytes[at] !== 0) return undefined
  if (bytes.readUInt16BE(at + 1) !== TYPE.OPT) return undefined
  const length = bytes.readUInt16BE(at + 9)
  return {
    payload: bytes.readUInt16BE(at + 3),
    payloadAt: at + 3,
    version: bytes[at + 6] ?? 0,
    dnssec: (bytes.readUInt16BE(at + 7) & 0x8000) !== 0,
    end: at + 1 + OPT_HEAD_BYTES + length,
  }
}

/** How long an answer to this query may be. */
export function bytesMax({ edns }: Query, transport: 'udp' | 'tcp'): number {
  if (transport === 'tcp') return 0xffff
  return edns === undefined ? PLAIN_BYTES_MAX : Math.min(MESSAGE_BYTES_MAX, Math.max(PLAIN_BYTES_MAX, edns.payload))
}

export interface Head {
  readonly rcode: number
  readonly authoritative?: boolean
  readonly truncated?: boolean
  readonly answers?: number
  readonly authorities?: number
  readonly additionals?: number
}

/** Header and question of an answer, as the client wrote it: resolvers compare the case too. */
export function startReply(query: Query, head: Head): Buffer {
  const reply = Buffer.alloc(query.questionEnd)
  query.bytes.copy(reply, 0, 0, query.questionEnd)
  const flags =
    FLAG_RESPONSE |
    (head.authoritative === true ? 0x0400 : 0) |
    (head.truncated === true ? FLAG_TRUNCATED : 0) |
    (query.recursionDesired ? FLAG_RECURSION_DESIRED : 0) |
    FLAG_RECURSION_AVAILABLE |
    head.rcode
  reply.writeUInt16BE(flags, 2)
  reply.writeUInt16BE(head.answers ?? 0, 6)
  reply.writeUInt16BE(head.authorities ?? 0, 8)
  reply.writeUInt16BE((head.additionals ?? 0) + (query.edns === undefined ? 0 : 1), 10)
  return reply
}

/** What an answer to a query with EDNS ends with (RFC 6891 7). */
export function optOf({ edns }: Query, extendedRcode = 0): Buffer {
  if (edns === undefined) return Buffer.alloc(0)
  const opt = Buffer.alloc(1 + OPT_HEAD_BYTES)
  opt.writeUInt16BE(TYPE.OPT, 1)
  opt.writeUInt16BE(MESSAGE_BYTES_MAX, 3)
  opt.writeUInt8(extendedRcode, 5)
  return opt
}

export const errorReply = (query: Query, rcode: number): Buffer =>
  Buffer.concat([startReply(query, { rcode }), optOf(query)])

/** Says no more than that there is more: the client asks again over TCP. */
export const truncatedReply = (query: Query, rcode: number): Buffer =>
  Buffer.concat([startReply(query, { rcode, truncated: true }), optOf(query)])

const badVersion = (query: Query): Buffer =>
  Buffer.concat([startReply(query, { rcode: 0 }), optOf(query, EXTENDED_BADVERS)])

/** The query's id with a code, for messages whose body cannot be trusted. */
function bare(bytes: Buffer, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES)
  bytes.copy(reply, 0, 0, 4)
  const kept = bytes.readUInt16BE(2) & (0x7800 | FLAG_RECURSION_DESIRED)
  reply.writeUInt16BE(FLAG_RESPONSE | kept | FLAG_RECURSION_AVAILABLE | rcode, 2)
  return reply
}

/** What of a resolver's answer matters to whoever passes it on. */
export interface Reply {
  readonly rcode: number
  readonly truncated: boolean
  /** Where TTLs stand. */
  readonly ttlsAt: readonly number[]
  /** How long it may be remembered; 0: not at all. */
  readonly ttlS: number
}

/** Undefined: not an answer to this query, or not one that can be followed to its end. */
export function readReply(bytes: Buffer, query: Query): Reply | undefined {
  if (bytes.length < HEADER_BYTES) return undefined
  const flags = bytes.readUInt16BE(2)
  const isAnswer = (flags & FLAG_RESPONSE) !== 0 && ((flags >> 11) & 0xf) === 0
  if (!isAnswer) return undefined
  const rcode = flags & 0xf
  const questions = bytes.readUInt16BE(4)
  // Some servers repeat no question where they refuse.
  if (questions === 0 && rcode !== 0 && bytes.length === HEADER_BYTES) {
    return { rcode, truncated: false, ttlsAt: [], ttlS: 0 }
  }
  if (questions !== 1 || !hasQuestion(bytes, query)) return undefined
  const truncated = (flags & FLAG_TRUNCATED) !== 0
  const records = readRecords(bytes, query.questionEnd)
  // Cut off, it may end anywhere; the client asks again anyway.
  if (records === undefined) return truncated ? { rcode, truncated, ttlsAt: [], ttlS: 0 } : undefined
  const isLasting = !truncated && (rcode === RCODE.noError || rcode === RCODE.nxDomain)
  return { rcode, truncated, ttlsAt: records.ttlsAt, ttlS: isLasting ? records.ttlS : 0 }
}

function hasQuestion(bytes: Buffer, { bytes: asked, questionEnd }: Query): boolean {
  if (bytes.length < questionEnd) return false
  for (let at = HEADER_BYTES; at < questionEnd; at += 1) {
    if (lower(bytes[at] ?? 0) !== lower(asked[at] ?? 0)) return false
  }
  return true
}

const lower = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte)

function readRecords(bytes: Buffer, from: number): Pick<Reply, 'ttlsAt' | 'ttlS'> | undefined {
  const [answers, authorities, additionals] = [bytes.readUInt16BE(6), bytes.readUInt16BE(8), bytes.readUInt16BE(10)]
  const ttlsAt: number[] = []
  let ttlS = Number.POSITIVE_INFINITY
  // No answer is remembered as long as the zone says (RFC 2308 5); without SOA nobody said anything.
  let negativeS = 0
  let at = from
  for (let index = 0; index < answers + authorities + additionals; index += 1) {
    const start = skipName(bytes, at)
    if (start === undefined || start + RECORD_HEAD_BYTES > bytes.length) return undefined
    const type = bytes.readUInt16BE(start)
    const end = start + RECORD_HEAD_BYTES + bytes.readUInt16BE(start + 8)
    if (end > bytes.length) return undefined
    at = end
    if (type === TYPE.OPT) continue
    ttlsAt.push(start + 4)
    // The topmost bit makes it 0 (RFC 2181 8).
    const raw = bytes.readUInt32BE(start + 4)
    const seconds = raw > 0x7fff_ffff ? 0 : raw
    ttlS = Math.min(ttlS, seconds)
    if (type === TYPE.SOA && index >= answers && end >= 4) negativeS = Math.min(seconds, bytes.readUInt32BE(end - 4))
  }
  if (at !== bytes.length) return undefined
  return { ttlsAt, ttlS: answers === 0 ? negativeS : ttlS }
}

/** The end of a name, which may end in a pointer to what stands before it (RFC 1035 4.1.4). */
function skipName(bytes: Buffer, from: number): number | undefined {
  for (let at = from; at - from <= NAME_BYTES_MAX;) {
    const length = bytes[at]
    if (length === undefined) return undefined
    if (length === 0) return at + 1
    if (length >= 0xc0) {
      const next = bytes[at + 1]
      if (next === undefined) return undefined
      const target = ((length & 0x3f) << 8) | next
      return target >= HEADER_BYTES && target < from ? at + 2 : undefined
    }
    if (length > LABEL_BYTES_MAX) return undefined
    at += 1 + length
  }
  return undefined
}
