/**
 * One DNS message in, one out (RFC 1035, 6891): parsing is bounded and never throws, what cannot be parsed gets no
 * answer or FORMERR. Pure but for the zone it asks.
 */
import { decode, encode, type Answer, type DecodedPacket, type Packet } from 'dns-packet'
import type { RecordData, ZoneAnswer } from './zone.ts'

/** Queries of clients are under 300 bytes; this leaves room for EDNS options. */
export const QUERY_BYTES_MAX = 1_232
/** What fits into one packet on any path (DNS flag day 2020). */
const UDP_BYTES_MAX = 1_232
const UDP_BYTES_WITHOUT_EDNS = 512
const HEADER_BYTES = 12

/** CoreDNS' Kubernetes plugin answers with 5 s. */
const TTL_S = 5

const RCODE = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const
const FLAG = { authoritative: 1 << 10, truncated: 1 << 9, recursionDesired: 1 << 8 } as const

export type Transport = 'udp' | 'tcp'
export type Resolve = (name: string, type: string) => ZoneAnswer

/** undefined: no answer at all (not a query, or too short to have an id). */
export function respond(message: Buffer, transport: Transport, resolve: Resolve): Buffer | undefined {
  if (message.length < HEADER_BYTES || (message.readUInt8(2) & 0x80) !== 0) return undefined
  const query = message.length > QUERY_BYTES_MAX ? undefined : parse(message)
  if (query === undefined) return bare(message, RCODE.formErr)
  if (((message.readUInt8(2) >> 3) & 0xf) !== 0) return bare(message, RCODE.notImp)
  const question = query.questions?.[0]
  if (question === undefined || query.questions?.length !== 1) return bare(message, RCODE.formErr)
  if (question.class !== undefined && question.class !== 'IN' && question.class !== 'ANY')
    return bare(message, RCODE.refused)
  const answer = resolve(question.name.toLowerCase().replace(/\.$/, ''), question.type)
  return build(query, answer, transport)
}

function parse(message: Buffer): DecodedPacket | undefined {
  try {
    return decode(message)
  } catch {
    return undefined
  }
}

function build(query: DecodedPacket, answer: ZoneAnswer, transport: Transport): Buffer {
  const edns = query.additionals?.find((each) => each.type === 'OPT')
  const opt: Answer[] = edns === undefined ? [] : [OPT]
  const recursion = (query.flags ?? 0) & FLAG.recursionDesired
  const base: Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags: FLAG.authoritative | recursion | rcodeOf(answer),
    questions: query.questions ?? [],
    additionals: opt,
  }
  const full: Packet =
    answer.kind === 'records'
      ? {
          ...base,
          answers: answer.records.map(toAnswer),
          additionals: [...answer.additional.map(toAnswer), ...opt],
          ...(answer.records.length === 0 ? { authorities: [soa(query)] } : {}),
        }
      : answer.kind === 'nxdomain'
        ? { ...base, authorities: [soa(query)] }
        : base
  const bytes = encode(full)
  if (transport === 'tcp') return bytes
  const limit =
    edns === undefined
      ? UDP_BYTES_WITHOUT_EDNS
      : Math.min(UDP_BYTES_MAX, Math.max(UDP_BYTES_WITHOUT_EDNS, payloadSize(edns)))
  if (bytes.length <= limit) return bytes
  const withoutAdditional = encode({ ...full, additionals: opt })
  if (withoutAdditional.length <= limit) return withoutAdditional
  return encode({ ...base, flags: (base.flags ?? 0) | FLAG.truncated })
}

function payloadSize(opt: Answer): number {
  return opt.type === 'OPT' ? (opt.udpPayloadSize ?? UDP_BYTES_WITHOUT_EDNS) : UDP_BYTES_WITHOUT_EDNS
}

const OPT: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: UDP_BYTES_MAX,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
}

function rcodeOf(answer: ZoneAnswer): number {
  switch (answer.kind) {
    case 'records':
      return RCODE.noError
    case 'nxdomain':
      return RCODE.nxDomain
    case 'refused':
      return RCODE.refused
    default:
      return RCODE.servFail
  }
}

function toAnswer(record: RecordData): Answer {
  if (record.type === 'TXT') return record
  return { ...record, ttl: TTL_S }
}

/** Tells resolvers how long "no" may be remembered (RFC 2308): not long, names appear with their Services. */
function soa(query: DecodedPacket): Answer {
  const name = query.questions?.[0]?.name ?? ''
  const zone = name.toLowerCase().replace(/\.$/, '').endsWith('clusterset.local') ? 'clusterset.local' : 'cluster.local'
  const data = {
    mname: `ns.dns.${zone}`,
    rname: `hostmaster.${zone}`,
    serial: 1,
    refresh: 7_200,
    retry: 1_800,
    expire: 86_400,
    minimum: TTL_S,
  }
  return { type: 'SOA', name: zone, ttl: TTL_S, data }
}

/** The query's id with a code, for messages whose body cannot be trusted. */
function bare(message: Buffer, rcode: number): Buffer {
  return encode({ type: 'response', id: message.readUInt16BE(0), flags: rcode })
}
