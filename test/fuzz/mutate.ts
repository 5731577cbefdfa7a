/** Changes bytes as an attacker's tool would: flips, cuts, repeats, and inserts what parsers trip over. */
import type { Random } from '../../src/runtime/random.ts'

/** Tokens that mean something to one of the parsers. */
const TOKENS: readonly Buffer[] = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '#',
  'HTTP/1.1',
  'HTTP/1.0',
  'Transfer-Encoding: chunked\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 5\r\n',
  'Host: b\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  '0\r\n\r\n',
  'ffffffff',
  'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n',
  '{}',
  '[]',
  '"@type": "type.googleapis.com/',
  '&a [*a,*a]',
]
  .map((text) => Buffer.from(text, 'latin1'))
  .concat([
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), // SETTINGS
    Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 0]), // WINDOW_UPDATE by 0
    Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]), // RST_STREAM
    Buffer.from([0, 0, 1, 9, 4, 0, 0, 0, 1, 0x82]), // CONTINUATION
    Buffer.from([0x3f, 0xe1, 0x1f]), // HPACK table size
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
    Buffer.from([0x16, 0x03, 0x01]),
  ])

const BYTES_MAX = 32 * 1024

export function mutate(seed: Buffer, random: Random): Buffer {
  let bytes = seed
  const times = 1 + below(random, 5)
  for (let time = 0; time < times; time++) bytes = mutateOnce(bytes, random)
  return bytes.length > BYTES_MAX ? bytes.subarray(0, BYTES_MAX) : bytes
}

/** A whole number from 0 to below `limit`. */
export function below(random: Random, limit: number): number {
  return Math.floor(random.next() * limit)
}

function mutateOnce(bytes: Buffer, random: Random): Buffer {
  const at = below(random, bytes.length + 1)
  const length = Math.min(bytes.length - at, 1 + below(random, 40))
  switch (below(random, 7)) {
    case 0: {
      const changed = Buffer.from(bytes)
      if (changed.length > 0) changed[at % changed.length] = below(random, 256)
      return changed
    }
    case 1: {
      const changed = Buffer.from(bytes)
      if (changed.length > 0)
        changed[at % changed.length] = (changed[at % changed.length] ?? 0) ^ (1 << below(random, 8))
      return changed
    }
    case 2:
      return splice(bytes, at, length, Buffer.alloc(0))
    case 3:
      return splice(bytes, at, 0, TOKENS[below(random, TOKENS.length)] ?? Buffer.alloc(0))
    case 4:
      return splice(bytes, at, length, TOKENS[below(random, TOKENS.length)] ?? Buffer.alloc(0))
    case 5: {
      const part = bytes.subarray(at, at + length)
      return splice(bytes, at, 0, Buffer.concat(Array.from({ length: 1 + below(random, 20) }, () => part)))
    }
    default: {
      const from = below(random, bytes.length + 1)
      return splice(bytes, at, 0, bytes.subarray(from, from + 60))
    }
  }
}

function splice(bytes: Buffer, at: number, removed: number, added: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)])
}

/** The bytes in pieces, as a network may deliver them. */
export function split(bytes: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  while (at < bytes.length) {
    const length = random.next() < 0.5 ? 1 + below(random, 4) : 1 + below(random, bytes.length)
    pieces.push(Buffer.from(bytes.subarray(at, at + length)))
    at += length
  }
  return pieces
}
