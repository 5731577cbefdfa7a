/**
 * The worst requests of at most 10 KiB that we could think of, each against what it is meant to exhaust. The victim
 * routes by three regular expressions before anything else, and by one over a header.
 */
import { frame, HELLO, PREFACE } from '../../harness/frames.ts'

export const BYTES_MAX = 10 * 1024

export interface WorstRequest {
  readonly name: string
  readonly protocol: 'http1' | 'http2'
  /** Of the stream, where it is HTTP/2. */
  readonly bytes: (streamId: number) => Buffer
  /** Sent once per connection and not counted. */
  readonly opening?: Buffer
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')
const fill = (unit: string, bytes: number): string => unit.repeat(Math.floor(bytes / unit.length))
const ROOM = BYTES_MAX - 100

const h1 = (name: string, text: string): WorstRequest => {
  const bytes = latin1(text)
  return { name, protocol: 'http1', bytes: () => bytes }
}
const get = (target: string, ...fields: readonly string[]): string =>
  ['GET ' + target + ' HTTP/1.1', 'Host: a', ...fields, '', ''].join('\r\n')
const many = (count: number, field: (index: number) => string): string[] =>
  Array.from({ length: count }, (_, n) => field(n))

function chunked(unit: string): string {
  const head = 'POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  return `${head}${fill(unit, ROOM - head.length)}0\r\n\r\n`
}

const HEADERS = 1
const END_STREAM = 1
const END_HEADERS = 4
/** :method GET, :scheme http, :path /, :authority a */
const GET_BLOCK = Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61])
const POST_BLOCK = Buffer.from([0x83, 0x86, 0x84, 0x41, 0x01, 0x61])
/** One entry of 560 bytes; ninety-nine references make 56 KiB of fields out of a hundred bytes. */
const ENTRY = Buffer.concat([Buffer.from([0x40, 0x01, 0x7a, 0x7f, 0xb1, 0x03]), Buffer.alloc(560, 'b')])
const headers = (id: number, fields: Buffer, end = END_STREAM): Buffer => frame(HEADERS, END_HEADERS | end, id, fields)

export const PLAIN: WorstRequest = h1('an ordinary GET', get('/', 'Accept: */*'))
export const FILLED: WorstRequest = h1('10 KiB in one field', get('/', `X-Fill: ${fill('x', ROOM)}`))

export const WORST: readonly WorstRequest[] = [
  FILLED,
  h1('98 short fields with names of their own', get('/', ...many(98, (n) => `X-${n}: 1`))),
  h1('98 fields of 90 bytes', get('/', ...many(98, (n) => `X-${n}: ${fill('v', 88)}`))),
  h1('90 Cookie fields', get('/', ...many(90, (n) => `Cookie: c${n}=${fill('v', 90)}`))),
  h1('thousands of crumbs in one cookie', get('/', `Cookie: ${fill('a=b; ', ROOM)}`)),
  h1('dot segments up and down', get(fill('/a/..', ROOM))),
  h1('dot segments that only go down, then up', get(`${fill('/a', ROOM / 2)}${fill('/..', ROOM / 2)}`)),
  h1('escaped dots', get(fill('/%61/%2e%2e', ROOM))),
  h1('slashes', get(fill('/', ROOM))),
  h1('escapes of unreserved bytes', get(`/${fill('%7e', ROOM)}`)),
  h1('thousands of query parameters', get(`/?${fill('a=b&', ROOM)}`)),
  h1('a path for the regular expressions', get(`/a${fill('bc', ROOM)}`)),
  h1('digits for the regular expressions', get(`/${fill('1a', ROOM)}`)),
  h1('a header for the regular expressions', get('/', `X-Regex: ${fill('a', ROOM)}`)),
  h1('thousands of ranges', get('/', `Range: bytes=${fill('0-1,', ROOM)}0-1`)),
  h1('a long list of forwarders', get('/', `X-Forwarded-For: ${fill('1.1.1.1,', ROOM)}1.1.1.1`)),
  h1(
    'names in Connection',
    get('/', `Connection: ${many(30, (n) => `x${n}`).join(',')}`, ...many(60, (n) => `x${n}: 1`)),
  ),
  h1('a host of one label', ['GET / HTTP/1.1', `Host: ${fill('a', ROOM)}`, '', ''].join('\r\n')),
  h1('a host of thousands of labels', ['GET / HTTP/1.1', `Host: ${fill('a.', ROOM)}a`, '', ''].join('\r\n')),
  h1('chunks of one byte', chunked('1\r\nx\r\n')),
  h1('chunks with extensions', chunked(`1;${fill('e', 100)}\r\nx\r\n`).replace(/(1;e+\r\nx\r\n){30}(?=0)/, '')),
  h1(
    '98 trailers',
    `POST /r HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${many(98, (n) => `x-${n}: ${fill('t', 90)}`).join('\r\n')}\r\n\r\n`,
  ),
  {
    name: 'references to one entry of the HPACK table',
    protocol: 'http2',
    opening: headers(1, Buffer.concat([GET_BLOCK, ENTRY])),
    bytes: (id) => headers(id, Buffer.concat([GET_BLOCK, Buffer.alloc(98, 0xbe)])),
  },
  {
    name: 'references in 10 KiB, refused',
    protocol: 'http2',
    opening: headers(1, Buffer.concat([GET_BLOCK, Buffer.from([0x40, 0x01, 0x7a, 0x01, 0x62])])),
    bytes: (id) => headers(id, Buffer.concat([GET_BLOCK, Buffer.alloc(ROOM, 0xbe)])),
  },
  {
    name: 'Huffman coded, longest codes',
    protocol: 'http2',
    bytes: (id) =>
      headers(
        id,
        Buffer.concat([GET_BLOCK, Buffer.from([0x00, 0x01, 0x7a, 0xff, 0x81, 0x4d]), Buffer.alloc(10_000, 0xff)]),
      ),
  },
  {
    name: 'DATA frames of one byte',
    protocol: 'http2',
    bytes: (id) =>
      Buffer.concat([
        headers(id, POST_BLOCK, 0),
        ...many(900, () => '').map(() => frame(0, 0, id, latin1('x'))),
        frame(0, END_STREAM, id),
      ]),
  },
  {
    name: 'DATA frames with 255 bytes of padding',
    protocol: 'http2',
    bytes: (id) =>
      Buffer.concat([
        headers(id, POST_BLOCK, 0),
        ...many(36, () => '').map(() =>
          frame(0, 8, id, Buffer.concat([Buffer.from([255]), latin1('x'), Buffer.alloc(255)])),
        ),
        frame(0, END_STREAM, id),
      ]),
  },
]

export const OPENING = { http1: Buffer.alloc(0), http2: HELLO, preface: PREFACE } as const
