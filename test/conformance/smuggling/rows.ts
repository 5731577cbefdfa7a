/**
 * Messages that two readers could take for different things, as bytes, with the one answer each gets here. One table for
 * the codec's own tests, for every listener of a proxy, and for the comparison with other proxies (run.ts).
 */

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n'
const chunked = (body: string): string => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`

export interface RequestRow {
  readonly name: string
  /** latin1. */
  readonly bytes: string
  readonly status: number
  /** Begins like something else that a captured connection may carry: there it is not HTTP/1.1's to judge. */
  readonly otherProtocol: boolean
}

const TABLE: readonly (readonly [name: string, bytes: string, status: number])[] = [
  [
    'Content-Length and Transfer-Encoding',
    `${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['two equal Content-Length', `${HEAD}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, 400],
  ['a list in Content-Length', `${HEAD}Content-Length: 1, 1\r\n\r\nx`, 400],
  ['two different Content-Length', `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`, 400],
  ['an empty Content-Length', `${HEAD}Content-Length:\r\n\r\n`, 400],
  ['a sign in Content-Length', `${HEAD}Content-Length: +1\r\n\r\nx`, 400],
  ['a Content-Length beyond exact integers', `${HEAD}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  ['an unknown transfer coding', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n`, 501],
  ['a coding before chunked', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
  ['chunked twice', `${HEAD}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  ['chunked twice in two fields', `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
  ['chunked not last', `${HEAD}Transfer-Encoding: chunked, gzip\r\n\r\n`, 400],
  ['Transfer-Encoding on HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
  ['a folded field', `${HEAD}X: a\r\n b\r\n\r\n`, 400],
  ['bare LF line ends', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['a bare LF after a field', `${HEAD}X: a\nY: b\r\n\r\n`, 400],
  ['a bare LF that ends the head', `${HEAD}\n`, 400],
  ['a bare CR in a value', `${HEAD}X: a\rb\r\n\r\n`, 400],
  ['NUL in a value', `${HEAD}X: a\0b\r\n\r\n`, 400],
  ['NUL in a name', `${HEAD}X\0: a\r\n\r\n`, 400],
  ['DEL in a value', `${HEAD}X: \x7f\r\n\r\n`, 400],
  ['two different Host', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ['two equal Host', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
  ['user information in Host', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
  ['a path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['a port that is none in Host', 'GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n', 400],
  ['a fragment in the target', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a byte over 0x7f in the target', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a relative target', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['another scheme in the target', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['user information in the target', 'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['* without OPTIONS', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['CONNECT without a port', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['CONNECT with a path', 'CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['CONNECT with a body', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', 400],
  ['a space before the colon', `${HEAD}X : a\r\n\r\n`, 400],
  ['a space before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
  ['an empty name', `${HEAD}: a\r\n\r\n`, 400],
  ['a line without a colon', `${HEAD}abc\r\n\r\n`, 400],
  ['two spaces after the method', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a tab after the method', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400],
  ['no version', 'GET /\r\nHost: a\r\n\r\n', 400],
  ['a short version', 'GET / HTTP\r\nHost: a\r\n\r\n', 400],
  ['a version in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
  ['HTTP/2.0 in a request line', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
  ['a TLS ClientHello', '\x16\x03\x01\x02\x00\x01', 400],
  ['a chunk size ended by a bare LF', chunked('1\nx\r\n0\r\n\r\n'), 400],
  ['an extension ended by a bare LF', chunked('1;a\nx\r\n0\r\n\r\n'), 400],
  ['a chunk size with a sign', chunked('+1\r\nx\r\n0\r\n\r\n'), 400],
  ['a chunk size with a prefix', chunked('0x1\r\nx\r\n0\r\n\r\n'), 400],
  ['a space after a chunk size', chunked('1 \r\nx\r\n0\r\n\r\n'), 400],
  ['an empty chunk size', chunked('\r\nx\r\n0\r\n\r\n'), 400],
  ['a chunk size that overflows', chunked('fffffffffffffffff\r\nx'), 400],
  ['a chunk longer than its size', chunked('1\r\nxy\r\n0\r\n\r\n'), 400],
  ['a chunk ended by a bare LF', chunked('1\r\nx\n0\r\n\r\n'), 400],
  ['an endless chunk extension', chunked(`1;${'a'.repeat(5_000)}\r\nx\r\n0\r\n\r\n`), 400],
  ['Content-Length in trailers', chunked('0\r\nContent-Length: 1\r\n\r\n'), 400],
  ['Host in trailers', chunked('0\r\nHost: b\r\n\r\n'), 400],
  ['a folded trailer', chunked('0\r\nX: a\r\n b\r\n\r\n'), 400],
  ['128 KiB in one field', `${HEAD}X: ${'a'.repeat(128 * 1024)}\r\n\r\n`, 431],
  ['128 KiB of target', `GET /${'a'.repeat(128 * 1024)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
  ['300 fields', `${HEAD}${'X: a\r\n'.repeat(299)}\r\n`, 431],
  ['101 fields', `${HEAD}${'X: a\r\n'.repeat(100)}\r\n`, 431],
  ['101 trailers', chunked(`0\r\n${'X: a\r\n'.repeat(101)}\r\n`), 400],
  ['another expectation', `${HEAD}Expect: 200-ok\r\n\r\n`, 417],
  [
    '40 names in Connection',
    `${HEAD}Connection: ${Array.from({ length: 40 }, (_, n) => `x${n}`).join(',')}\r\n\r\n`,
    400,
  ],
  ['chunked with a vertical tab before it', `${HEAD}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  ['quoted chunked', `${HEAD}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 501],
  ['Transfer-Encoding: identity', `${HEAD}Transfer-Encoding: identity\r\n\r\n`, 501],
  ['an empty Transfer-Encoding', `${HEAD}Transfer-Encoding:\r\n\r\n`, 400],
  ['Transfer-Encoding with a space before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, 400],
  ['Transfer-Encoding on a folded line', `${HEAD}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400],
  ['a hexadecimal Content-Length', `${HEAD}Content-Length: 0x1\r\n\r\nx`, 400],
  ['a negative Content-Length', `${HEAD}Content-Length: -1\r\n\r\n`, 400],
  ['a Content-Length of two words', `${HEAD}Content-Length: 1 1\r\n\r\nx`, 400],
  ['a Content-Length in quotes', `${HEAD}Content-Length: "1"\r\n\r\nx`, 400],
  ['a bare CR that ends a line', `${HEAD}X: a\r\r\n\r\n`, 400],
  ['HTTP/0.9', 'GET /\r\n', 400],
  ['a NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a chunk size with an underscore', chunked('1_0\r\nx\r\n0\r\n\r\n'), 400],
  ['a negative chunk size', chunked('-1\r\nx\r\n0\r\n\r\n'), 400],
  ['a bare CR in an extension', chunked('1;a\rb\r\nx\r\n0\r\n\r\n'), 400],
  ['Transfer-Encoding in trailers', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n'), 400],
]

export const REQUEST_ROWS: readonly RequestRow[] = TABLE.map(([name, bytes, status]) => ({
  name,
  bytes,
  status,
  otherProtocol: bytes.startsWith('PRI ') || bytes.startsWith('\x16'),
}))

/** What a hostile origin answers to `GET /`. */
export interface ResponseRow {
  readonly name: string
  readonly bytes: string
  /**
   * `refused`: the client gets 502 and nothing of the answer. `cut`: what came before the fault was already passed on;
   * the client's connection ends so that it knows. `whole`: a good answer, but the connection is never used again.
   */
  readonly verdict: 'refused' | 'cut' | 'whole'
}

const OK = 'HTTP/1.1 200 OK\r\n'
const okChunked = (body: string): string => `${OK}Transfer-Encoding: chunked\r\n\r\n${body}`
const SMUGGLED = 'HTTP/1.1 200 OK\r\nX-Smuggled: 1\r\nContent-Length: 8\r\n\r\nsmuggled'

const RESPONSES: readonly (readonly [name: string, bytes: string, verdict: ResponseRow['verdict']])[] = [
  [
    'Content-Length and Transfer-Encoding',
    `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'refused',
  ],
  ['two Content-Length', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`, 'refused'],
  ['two equal Content-Length', `${OK}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, 'refused'],
  ['a sign in Content-Length', `${OK}Content-Length: +1\r\n\r\nx`, 'refused'],
  ['an unknown transfer coding', `${OK}Transfer-Encoding: xchunked\r\n\r\nx`, 'refused'],
  ['Transfer-Encoding on HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'refused'],
  ['bare LF line ends', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'refused'],
  ['a folded field', `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`, 'refused'],
  ['a bare CR in a value', `${OK}X: a\rX-Smuggled: 1\r\nContent-Length: 0\r\n\r\n`, 'refused'],
  ['NUL in a value', `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`, 'refused'],
  ['a space before the colon', `${OK}Content-Length : 0\r\n\r\n`, 'refused'],
  ['an empty name', `${OK}: a\r\nContent-Length: 0\r\n\r\n`, 'refused'],
  ['a control in the reason', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n', 'refused'],
  ['no status', 'HTTP/1.1 OK and more text\r\n\r\n', 'refused'],
  ['a status below 100', 'HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n', 'refused'],
  ['HTTP/2.0 in a status line', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n', 'refused'],
  ['a greeting of another protocol', 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', 'refused'],
  [
    '101 without being asked',
    `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n${SMUGGLED}`,
    'refused',
  ],
  ['a body on 204', `HTTP/1.1 204 No Content\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, 'refused'],
  ['twenty times 100 Continue', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20), 'refused'],
  ['128 KiB in one field', `${OK}X: ${'a'.repeat(128 * 1024)}\r\nContent-Length: 0\r\n\r\n`, 'refused'],
  ['300 fields', `${OK}${'X: a\r\n'.repeat(300)}Content-Length: 0\r\n\r\n`, 'refused'],
  ['a chunk size that is none', okChunked('zz\r\nx\r\n0\r\n\r\n'), 'cut'],
  ['a chunk size with a sign', okChunked('1\r\nx\r\n+1\r\nx\r\n0\r\n\r\n'), 'cut'],
  ['a chunk size ended by a bare LF', okChunked('1\r\nx\r\n1\nx\r\n0\r\n\r\n'), 'cut'],
  ['a chunk longer than its size', okChunked('1\r\nxy\r\n0\r\n\r\n'), 'cut'],
  ['a chunk size that overflows', okChunked('ffffffffffffffff1\r\nx'), 'cut'],
  ['Content-Length in trailers', okChunked('1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n'), 'cut'],
  ['a second answer behind a sized one', `${OK}Content-Length: 2\r\n\r\nok${SMUGGLED}`, 'whole'],
  ['a second answer behind a chunked one', `${okChunked('2\r\nok\r\n0\r\n\r\n')}${SMUGGLED}`, 'whole'],
  ['a second answer behind an empty one', `${OK}Content-Length: 0\r\n\r\n${SMUGGLED}`, 'whole'],
  ['a body behind 304', `HTTP/1.1 304 Not Modified\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, 'whole'],
]

export const RESPONSE_ROWS: readonly ResponseRow[] = RESPONSES.map(([name, bytes, verdict]) => ({
  name,
  bytes,
  verdict,
}))
