import { assert, constantFrom, integer, ipV4, oneof, property, record, tuple, uint8Array } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Addresses, formatProxyHeader, parseProxyHeader } from './proxy-protocol.ts'

const parse = (text: string): ReturnType<typeof parseProxyHeader> => parseProxyHeader(Buffer.from(text, 'latin1'))
const v2 = (command: number, family: number, body: readonly number[], length = body.length): Buffer =>
  Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([command, family, length >> 8, length & 255, ...body]),
  ])
const FOUR = [192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0, 80]
const ADDRESSES: Addresses = {
  remoteAddress: '192.0.2.1',
  remotePort: 8080,
  localAddress: '198.51.100.2',
  localPort: 80,
}

describe('parseProxyHeader', () => {
  it.each([
    ['PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\nGET', ADDRESSES, 43],
    [
      'PROXY TCP6 2001:db8::1 ::1 1 65535\r\n',
      { remoteAddress: '2001:db8::1', remotePort: 1, localAddress: '::1', localPort: 65_535 },
      36,
    ],
    ['PROXY UNKNOWN\r\n', undefined, 15],
    ['PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', undefined, 35],
  ])('reads %j', (text, addresses, length) => {
    const header = { kind: 'header', version: 'v1', length }
    expect(parse(text)).toEqual(addresses === undefined ? header : { ...header, addresses })
  })

  it.each([
    'PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\nGET / HTTP/1.1\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 08080 80\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 65536 80\r\n',
    'PROXY TCP4 192.0.2.01 198.51.100.2 1 80\r\n',
    'PROXY TCP4 2001:db8::1 ::1 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n',
    'PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n',
    'PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY UNKNOWNX\r\n',
    `PROXY UNKNOWN ${'x'.repeat(120)}`,
  ])('refuses %j', (text) => {
    expect(parse(text).kind).toBe('invalid')
  })

  it.each([
    ['another version', v2(0x11, 0x11, FOUR)],
    ['another command', v2(0x22, 0x11, FOUR)],
    ['a local socket', v2(0x21, 0x31, FOUR)],
    ['no family', v2(0x21, 0x00, FOUR)],
    ['less than its addresses', v2(0x21, 0x11, FOUR.slice(0, 8))],
    ['more than 4 KiB', v2(0x21, 0x11, FOUR, 5_000)],
    ['an extension beyond its end', v2(0x21, 0x11, [...FOUR, 4, 0, 9, 1])],
    ['half an extension', v2(0x21, 0x11, [...FOUR, 4, 0])],
  ])('refuses version 2 with %s', (_, bytes) => {
    expect(parseProxyHeader(bytes).kind).toBe('invalid')
  })

  it('reads version 2, with extensions passed over, and LOCAL', () => {
    const length = 28
    expect(parseProxyHeader(v2(0x21, 0x11, FOUR))).toEqual({
      kind: 'header',
      version: 'v2',
      length,
      addresses: ADDRESSES,
    })
    const extended = parseProxyHeader(v2(0x21, 0x11, [...FOUR, 4, 0, 2, 1, 1]))
    expect(extended).toMatchObject({ kind: 'header', length: 33, addresses: ADDRESSES })
    expect(parseProxyHeader(v2(0x20, 0x00, [1, 2]))).toEqual({ kind: 'header', version: 'v2', length: 18 })
  })

  it('tells what is no such header at the first byte that differs', () => {
    expect(parse('')).toEqual({ kind: 'more' })
    expect(parse('P')).toEqual({ kind: 'more' })
    expect(parse('POST / HTTP/1.1')).toEqual({ kind: 'none' })
    expect(parse('PROXY ')).toEqual({ kind: 'more' })
    expect(parse('\r\n\r\n\0')).toEqual({ kind: 'more' })
    expect(parse('\r\n\r\nx')).toEqual({ kind: 'none' })
  })

  const ipv4 = ipV4()
  const group = integer({ min: 0, max: 0xffff })
  const ipv6 = tuple(group, group, group, group, group, group, group, group).map((groups) =>
    new URL(`http://[${groups.map((one) => one.toString(16)).join(':')}]/`).hostname.slice(1, -1),
  )
  const port = integer({ min: 0, max: 65_535 })
  const addresses = oneof(
    ...[ipv4, ipv6].map((ip) => record({ remoteAddress: ip, remotePort: port, localAddress: ip, localPort: port })),
  )

  it('reads what formatProxyHeader writes, whatever follows, and asks for more until it is whole', () => {
    assert(
      property(addresses, constantFrom('v1' as const, 'v2' as const), uint8Array(), (given, version, rest) => {
        const written = formatProxyHeader(version, given)
        const header = { kind: 'header', version, length: written.length, addresses: given }
        expect(parseProxyHeader(Buffer.concat([written, rest]))).toEqual(header)
        for (let at = 0; at < written.length; at++) {
          expect(parseProxyHeader(written.subarray(0, at))).toEqual({ kind: 'more' })
        }
      }),
    )
  })

  it('comes to an end with any bytes, within its bounds', () => {
    const begun = constantFrom('', 'PROXY ', 'PROXY TCP4 ', '\r\n\r\n\0\r\nQUIT\n', '\r\n\r\n\0\r\nQUIT\n!\x11\0')
    assert(
      property(begun, uint8Array({ maxLength: 200 }), (start, noise) => {
        const found = parseProxyHeader(Buffer.concat([Buffer.from(start, 'latin1'), noise]))
        if (found.kind === 'header') expect(found.length).toBeLessThanOrEqual(4_096)
      }),
    )
    expect(parseProxyHeader(Buffer.alloc(8_192, 'PROXY ')).kind).toBe('invalid')
  })
})
