import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KIND, STATIC_TABLE } from './fields.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { decodeHuffman, encodeHuffman, huffmanLength } from './huffman.ts'

const LIMITS = { headersMax: 100, headerListBytesMax: 60 * 1024, headerTableBytes: 4_096 }

function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  encoder.begin()
  for (let index = 0; index < fields.length; index += 2) encoder.field(fields[index] ?? '', fields[index + 1] ?? '')
  return Buffer.from(encoder.buffer.subarray(0, encoder.length))
}

function decode(decoder: HpackDecoder, block: Buffer): string[] | undefined {
  return decoder.decode(block, 0, block.length) ? [...decoder.fields] : undefined
}

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex')
const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) })

describe('Huffman', () => {
  it('knows the strings of RFC 7541 appendix C', () => {
    const known: [string, string][] = [
      ['www.example.com', 'f1e3c2e5f23a6ba0ab90f4ff'],
      ['no-cache', 'a8eb10649cbf'],
      ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07abe941054d444a8200595040b8166e082a62d1bff'],
    ]
    for (const [text, coded] of known) {
      const buffer = Buffer.alloc(64)
      expect(buffer.toString('hex', 0, encodeHuffman(text, buffer, 0))).toBe(coded)
      expect(decodeHuffman(hex(coded), 0, coded.length / 2)).toBe(text)
    }
  })

  it('gives back every byte string, in the length it announced', () => {
    fc.assert(
      fc.property(latin1, (text) => {
        const buffer = Buffer.alloc(text.length * 4 + 8)
        const end = encodeHuffman(text, buffer, 0)
        expect(end).toBe(huffmanLength(text))
        expect(decodeHuffman(buffer, 0, end)).toBe(text)
      }),
    )
  })

  it.each([
    ['padding of zeros', '18'],
    ['padding of a whole byte', '1fff'],
    ['the end-of-string symbol', 'fffffffc'],
  ])('refuses %s', (_name, bytes) => {
    expect(decodeHuffman(hex(bytes), 0, bytes.length / 2)).toBeUndefined()
  })
})

describe('HpackDecoder', () => {
  it('decodes the requests of RFC 7541 C.4, table and Huffman', () => {
    const decoder = new HpackDecoder(LIMITS)
    const common = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com']
    expect(decode(decoder, hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'))).toEqual(common)
    expect(decode(decoder, hex('8286 84be 5886 a8eb 1064 9cbf'))).toEqual([...common, 'cache-control', 'no-cache'])
    expect(decode(decoder, hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'))).toEqual([
      ':method',
      'GET',
      ':scheme',
      'https',
      ':path',
      '/index.html',
      ':authority',
      'www.example.com',
      'custom-key',
      'custom-value',
    ])
  })

  it('evicts as RFC 7541 C.5 does with a table of 256 bytes', () => {
    const decoder = new HpackDecoder({ ...LIMITS, headerTableBytes: 256 })
    const first = `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133
      3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`
    expect(decode(decoder, hex(first))?.slice(0, 4)).toEqual([':status', '302', 'cache-control', 'private'])
    expect(decode(decoder, hex('4803 3330 37c1 c0bf'))?.slice(0, 4)).toEqual([
      ':status',
      '307',
      'cache-control',
      'private',
    ])
    // `:status: 302` left the table when 307 came.
    expect(decode(decoder, hex('c2'))).toBeUndefined()
  })

  it.each([
    ['index 0', '80'],
    ['an index beyond the table', 'be'],
    ['an integer without end', 'ffffffffffffff'],
    ['a string beyond the block', '00056162'],
    ['a block cut in a name', '00'],
    ['a table size update after a field', '823f'],
    ['a table size beyond the announced', '3fe2 7f'],
    ['bad Huffman padding', '0081 18 0161'],
  ])('fails on %s', (_name, bytes) => {
    const decoder = new HpackDecoder(LIMITS)
    expect(decode(decoder, hex(bytes))).toBeUndefined()
  })

  it('marks names and values that break HTTP, also when they come out of the table', () => {
    const bad: [string, string][] = [
      ['Upper', 'v'],
      ['', 'v'],
      ['a b', 'v'],
      ['a\0', 'v'],
      ['a', 'x\r\ny: z'],
      ['a', ' x'],
      ['a', 'x\t'],
      ['a', '\0'],
    ]
    for (const [name, value] of bad) {
      const decoder = new HpackDecoder(LIMITS)
      const block = Buffer.concat([
        Buffer.from([0x40, name.length]),
        Buffer.from(name, 'latin1'),
        Buffer.from([value.length]),
        Buffer.from(value, 'latin1'),
        Buffer.from([0xbe]),
      ])
      expect(decode(decoder, block)).toEqual([name, value, name, value])
      expect(decoder.kinds).toEqual([KIND.invalid, KIND.invalid])
    }
  })

  it('collects no more than the limits from a block that refers to one big entry', () => {
    const decoder = new HpackDecoder(LIMITS)
    const value = 'x'.repeat(4_000)
    const entry = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.from(value)])
    expect(decode(decoder, entry)).toEqual(['a', value])
    expect(decode(decoder, Buffer.alloc(16_000, 0xbe))?.length).toBeLessThanOrEqual(2 * 16)
    expect(decoder.oversized).toBe(true)
    expect(decode(decoder, hex('be'))).toEqual(['a', value])
    expect(decoder.oversized).toBe(false)
  })
})

describe('HpackEncoder', () => {
  const name = fc.oneof(
    fc.constantFrom(...STATIC_TABLE.map(([known]) => known)),
    fc.constantFrom('x-a', 'x-b', 'x-request-id'),
    fc.stringMatching(/^[a-z0-9-]{1,12}$/),
  )
  const value = fc.oneof(
    fc.constantFrom('', 'GET', '200', 'v1', 'v2'),
    latin1,
    fc.string({ minLength: 1_000, maxLength: 5_000 }),
  )
  const blocks = fc.array(fc.array(fc.tuple(name, value), { maxLength: 12 }), { maxLength: 20 })
  const sizes = fc.array(fc.nat({ max: 8_192 }), { maxLength: 20 })

  it.each([{ huffman: false }, { huffman: true }])('gives back what was encoded, block after block (%o)', (options) => {
    fc.assert(
      fc.property(blocks, sizes, (lists, limits) => {
        const encoder = new HpackEncoder(4_096, options)
        const decoder = new HpackDecoder({ ...LIMITS, headerListBytesMax: 1e9 })
        for (const [index, list] of lists.entries()) {
          const limit = limits[index]
          if (limit !== undefined) encoder.limitTable(limit)
          const ascii = list.flatMap(([key, text]) => [key, Buffer.from(text, 'latin1').toString('latin1')])
          expect(decode(decoder, encode(encoder, ascii))).toEqual(ascii)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('sends what repeats as one byte, and never a secret', () => {
    const encoder = new HpackEncoder(4_096, { huffman: false })
    const fields = ['x-team', 'shop', 'authorization', 'Bearer secret']
    const sizes = Array.from({ length: 3 }, () => encode(encoder, fields).length)
    expect(sizes[2]).toBe(1 + 2 + 1 + 'Bearer secret'.length)
    expect(encode(encoder, fields)[1]).toBe(0x1f)
  })

  it('tells the decoder when the table shrank and grew again between two blocks', () => {
    const encoder = new HpackEncoder(4_096, { huffman: false })
    const decoder = new HpackDecoder(LIMITS)
    for (let round = 0; round < 3; round++) decode(decoder, encode(encoder, ['x-a', '1', 'x-b', '2']))
    encoder.limitTable(0)
    encoder.limitTable(4_096)
    for (let round = 0; round < 3; round++)
      expect(decode(decoder, encode(encoder, ['x-b', '2', 'x-c', '3']))).toEqual(['x-b', '2', 'x-c', '3'])
    expect(decode(decoder, Buffer.from([0xc0]))).toBeUndefined()
  })

  it('spells a name that no table knows twice, whatever its values', () => {
    const [encoder, decoder] = [new HpackEncoder(4_096, { huffman: false }), new HpackDecoder(LIMITS)]
    const spelled = Array.from({ length: 200 }, (_unused, index) => {
      const fields = ['x-request-id', `request-${index}`, 'x-large', `${index}`.padEnd(400, 'x')]
      const block = encode(encoder, fields)
      expect(decode(decoder, block)).toEqual(fields)
      return block.includes('x-request-id')
    })
    expect(spelled.filter(Boolean).length).toBe(2)
  })

  it('spells no name less where the peer allows no table', () => {
    const [encoder, decoder] = [new HpackEncoder(4_096, { huffman: false }), new HpackDecoder(LIMITS)]
    encoder.limitTable(0)
    for (let index = 0; index < 5; index++) {
      const block = encode(encoder, ['x-request-id', `request-${index}`])
      expect(decode(decoder, block)).toEqual(['x-request-id', `request-${index}`])
      expect(block.includes('x-request-id')).toBe(true)
    }
  })

  it('gives no room to values that never repeat', () => {
    const encoder = new HpackEncoder(4_096, { huffman: false })
    for (let round = 0; round < 3; round++) encode(encoder, ['x-team', 'shop'])
    for (let round = 0; round < 500; round++) encode(encoder, ['x-request-id', `id-${round}`])
    expect(encode(encoder, ['x-team', 'shop'])).toHaveLength(1)
  })
})

describe('HPACK against mutated bytes', () => {
  it('never throws, and stays within its limits', () => {
    const encoder = new HpackEncoder(4_096, { huffman: true })
    const seed = encode(encoder, [
      ':method',
      'GET',
      ':path',
      '/a/b?c',
      'x-a',
      'some value',
      'cookie',
      'a=b',
      'x-a',
      'y',
    ])
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 255 })), { maxLength: 8 }), (changes) => {
        const block = Buffer.from(seed)
        for (const [at, byte] of changes) block[at % block.length] = byte
        const decoder = new HpackDecoder({ ...LIMITS, headerListBytesMax: 500 })
        for (let round = 0; round < 3; round++) decoder.decode(block, 0, block.length)
        expect(decoder.fields.join('').length).toBeLessThanOrEqual(500)
      }),
      { numRuns: 500 },
    )
  })
})
