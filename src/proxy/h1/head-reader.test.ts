import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeadReader } from './head-reader.ts'

const MESSAGES = [
  'GET /a?b=c HTTP/1.1\r\nHost: example.test\r\nAccept: */*\r\nX-Own: one two \r\n\r\n',
  '\r\nPOST / HTTP/1.0\r\nhost: a\r\ncontent-length: 3\r\ncookie: a=b\r\ncookie: c=d\r\n\r\nabc',
  'GET / HTTP/1.1\nHost: a\r\n\r\n',
  'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
  'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok',
  'HTTP/1.1 204\r\nserver: x\r\n\r\n',
  'HTTP/1.1 20\r\n\r\n',
]
const TAILS = ['\n', '\r', '\r\n', '\r\n\r\n', ' ', ':', '1.1\r\n', 'x', '\u0000']

/** All that a reader says of what it was shown, up to `end`. */
function read(kind: 'request' | 'response', buffer: Buffer, end: number): unknown {
  const reader = new HeadReader({ headersMax: 100, headBytesMax: 8_192 })
  reader.reset(kind)
  const at = reader.read(buffer, 0, end)
  const { state, failure, failureDetail, method, target, status, minor, headers, host, contentLength, bytes } = reader
  return { at, state, failure, failureDetail, method, target, status, minor, headers, host, contentLength, bytes }
}

describe('HeadReader', () => {
  it('sees nothing of what lies behind the bytes it is shown: an older read of someone else', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...MESSAGES),
        fc.nat({ max: 200 }),
        fc.array(fc.constantFrom(...TAILS), { minLength: 1, maxLength: 6 }),
        (message, cut, tail) => {
          const bytes = Buffer.from(message, 'latin1').subarray(0, cut)
          const behind = Buffer.concat([bytes, Buffer.from(tail.join(''), 'latin1'), Buffer.alloc(64, 0x0a)])
          const kind = message.startsWith('HTTP') ? 'response' : 'request'
          expect(read(kind, behind, bytes.length)).toEqual(read(kind, Buffer.from(bytes), bytes.length))
        },
      ),
      { numRuns: 2_000 },
    )
  })
})
