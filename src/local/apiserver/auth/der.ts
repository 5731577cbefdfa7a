/**
 * Writes the DER that a local cluster's certificates are made of. It only ever writes: certificates are read by
 * node:crypto and node:tls, so there is no parser here to feed untrusted bytes to.
 */
import { isIPv4 } from 'node:net'

const TAGS = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  bytes: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

export function tlv(tag: number | keyof typeof TAGS, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents)
  const short = body.length < 0x80
  const size = short ? [] : lengthBytes(body.length)
  const head = [typeof tag === 'number' ? tag : TAGS[tag], short ? body.length : 0x80 | size.length, ...size]
  return Buffer.concat([Buffer.from(head), body])
}

function lengthBytes(length: number): number[] {
  return length === 0 ? [] : [...lengthBytes(Math.floor(length / 256)), length % 256]
}

/** `[number]` of the context class; constructed when it wraps other values. */
export const tagged = (number: number, constructed: boolean, content: Uint8Array): Buffer =>
  tlv(0x80 | (constructed ? 0x20 : 0) | number, content)

export const yes = (): Buffer => tlv('boolean', Buffer.from([0xff]))
export const text = (value: string): Buffer => tlv('utf8', Buffer.from(value))
export const bits = (value: Uint8Array, unused = 0): Buffer => tlv('bits', Buffer.from([unused]), value)

/** An integer that is not negative: a set top bit gets a zero byte before it. */
export function integer(value: Uint8Array): Buffer {
  let start = 0
  while (start < value.length - 1 && value[start] === 0) start += 1
  const digits = value.subarray(start)
  return tlv('integer', Buffer.from((digits[0] ?? 0) & 0x80 ? [0] : []), digits)
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tlv('oid', Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

function base128(arc: number): number[] {
  const digits = [arc % 128]
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) | 0x80)
  return digits
}

/** RFC 5280 section 4.1.2.5: two-digit years up to 2049, four digits from 2050. */
export function time(epochMs: number): Buffer {
  const digits = new Date(epochMs)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:T]/g, '')
  return new Date(epochMs).getUTCFullYear() < 2050
    ? tlv('utcTime', Buffer.from(digits.slice(2)))
    : tlv('generalizedTime', Buffer.from(digits))
}

/** 4 or 16 bytes, as subject alternative names hold them. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // URL normalises every spelling, also embedded IPv4, to groups of hexadecimal digits.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const [front, back] = [groups(head), groups(tail)]
  const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}
