/** Answers of our own as bytes. Names in them that the question ends with are pointers to it, so that more fits. */
import { isIPv6 } from 'node:net'
import { HEADER_BYTES, bytesMax, CLASS_IN, optOf, type Query, RCODE, startReply, truncatedReply, TYPE } from './wire.ts'

export type DnsRecord =
  | { readonly type: 'address'; readonly name: string; readonly address: string }
  | { readonly type: 'cname'; readonly name: string; readonly target: string }
  | { readonly type: 'srv'; readonly name: string; readonly port: number; readonly target: string }
  | { readonly type: 'txt'; readonly name: string; readonly text: string; readonly ttlS: number }
  | { readonly type: 'soa'; readonly name: string }

/** `records` without a record: the name exists and has none of that type. */
export type Answer =
  | { readonly kind: 'records'; readonly records: readonly DnsRecord[]; readonly additional?: readonly DnsRecord[] }
  | { readonly kind: 'nxdomain' }
  /** Nobody can say yet. */
  | { readonly kind: 'unknown' }

/** CoreDNS' Kubernetes plugin answers with 5 s; asking again costs a pod next to nothing. */
export const TTL_S = 5
const SRV_WEIGHT = 100

/** `zone`: whose SOA tells how long "no" may be remembered. */
export function writeAnswer(query: Query, answer: Answer, zone: string, transport: 'udp' | 'tcp'): Buffer {
  if (answer.kind === 'unknown') return Buffer.concat([startReply(query, { rcode: RCODE.servFail }), optOf(query)])
  const rcode = answer.kind === 'nxdomain' ? RCODE.nxDomain : RCODE.noError
  const records = answer.kind === 'records' ? answer.records : []
  const additional = (answer.kind === 'records' && answer.additional) || []
  const soa: readonly DnsRecord[] = records.length === 0 ? [{ type: 'soa', name: zone }] : []
  const limit = bytesMax(query, transport)
  const write = (more: readonly DnsRecord[]): Buffer => {
    const head = { rcode, authoritative: true, answers: records.length }
    const counts = { ...head, authorities: soa.length, additionals: more.length }
    const encoded = [...records, ...soa, ...more].map((record) => encode(record, query))
    return Buffer.concat([startReply(query, counts), ...encoded, optOf(query)])
  }
  const whole = write(additional)
  if (whole.length <= limit) return whole
  const without = additional.length === 0 ? whole : write([])
  return without.length <= limit ? without : truncatedReply(query, rcode)
}

function encode(record: DnsRecord, query: Query): Buffer {
  const name = nameBytes(record.name, query)
  const head = Buffer.alloc(10)
  const [type, data] = dataOf(record, query)
  head.writeUInt16BE(type, 0)
  head.writeUInt16BE(CLASS_IN, 2)
  head.writeUInt32BE(record.type === 'txt' ? record.ttlS : TTL_S, 4)
  head.writeUInt16BE(data.length, 8)
  return Buffer.concat([name, head, data])
}

function dataOf(record: DnsRecord, query: Query): readonly [number, Buffer] {
  switch (record.type) {
    case 'address':
      return isIPv6(record.address)
        ? [TYPE.AAAA, ipv6Bytes(record.address)]
        : [TYPE.A, Buffer.from(record.address.split('.').map(Number))]
    case 'cname':
      return [TYPE.CNAME, nameBytes(record.target, query)]
    case 'srv': {
      const fixed = Buffer.alloc(6)
      fixed.writeUInt16BE(SRV_WEIGHT, 2)
      fixed.writeUInt16BE(record.port, 4)
      // Never compressed (RFC 2782).
      return [TYPE.SRV, Buffer.concat([fixed, labels(record.target)])]
    }
    case 'txt':
      return [TYPE.TXT, Buffer.concat([Buffer.from([record.text.length]), Buffer.from(record.text, 'latin1')])]
    case 'soa':
      return [TYPE.SOA, soaBytes(record.name)]
    default:
      return record satisfies never
  }
}

/** Serial, refresh, retry, expire, and how long "no" counts. */
function soaBytes(zone: string): Buffer {
  const numbers = Buffer.alloc(20)
  for (const [index, value] of [1, 7_200, 1_800, 86_400, TTL_S].entries()) numbers.writeUInt32BE(value, 4 * index)
  return Buffer.concat([labels(`ns.dns.${zone}`), labels(`hostmaster.${zone}`), numbers])
}

/** As labels, or as far as needed and a pointer to where the question says the rest. */
function nameBytes(name: string, query: Query): Buffer {
  let before = ''
  for (let rest = name; rest !== '';) {
    const offset = query.name.length - rest.length
    const isThere = query.name.endsWith(rest) && (offset === 0 || query.name[offset - 1] === '.')
    if (isThere) {
      const pointer = Buffer.alloc(2)
      // A label's length byte stands where text has its dot, so offsets of both are the same.
      pointer.writeUInt16BE(0xc000 | (HEADER_BYTES + offset))
      return Buffer.concat([before === '' ? Buffer.alloc(0) : labels(before).subarray(0, -1), pointer])
    }
    const dot = rest.indexOf('.')
    before += `${before === '' ? '' : '.'}${dot < 0 ? rest : rest.slice(0, dot)}`
    rest = dot < 0 ? '' : rest.slice(dot + 1)
  }
  return labels(before)
}

function labels(name: string): Buffer {
  const parts = name === '' ? [] : name.split('.')
  return Buffer.concat([
    ...parts.map((part) => Buffer.concat([Buffer.from([part.length]), Buffer.from(part, 'latin1')])),
    Buffer.from([0]),
  ])
}

/** Of what `isIPv6` takes: groups, `::` once, perhaps dotted at its end. */
function ipv6Bytes(text: string): Buffer {
  const dotted = text.lastIndexOf(':') + 1
  const last = text.slice(dotted)
  const [a = 0, b = 0, c = 0, d = 0] = last.split('.').map(Number)
  const tail = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  const whole = last.includes('.') ? `${text.slice(0, dotted)}${tail}` : text
  const [head = '', rest] = whole.split('::')
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((each) => Number.parseInt(each, 16))
  const [before, after] = [groups(head), groups(rest ?? '')]
  const bytes = Buffer.alloc(16)
  for (const [index, group] of before.entries()) bytes.writeUInt16BE(group, 2 * index)
  for (const [index, group] of after.entries()) bytes.writeUInt16BE(group, 16 - 2 * (after.length - index))
  return bytes
}
