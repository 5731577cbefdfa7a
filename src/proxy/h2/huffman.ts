/**
 * HPACK's Huffman code (RFC 7541 appendix B). The code is canonical: lengths alone define it, codes of one length
 * count up in the order of their symbols. Decoding goes four bits at a time through a table made at load.
 */

/** Symbols by code length; 256 is the end-of-string symbol. */
const LENGTHS: readonly (readonly [bits: number, symbols: string])[] = [
  [5, '48-50 97 99 101 105 111 115-116'],
  [6, '32 37 45-47 51-57 61 65 95 98 100 102-104 108-110 112 114 117'],
  [7, '58 66-87 89 106-107 113 118-122'],
  [8, '38 42 44 59 88 90'],
  [10, '33-34 40-41 63'],
  [11, '39 43 124'],
  [12, '35 62'],
  [13, '0 36 64 91 93 126'],
  [14, '94 125'],
  [15, '60 96 123'],
  [19, '92 195 208'],
  [20, '128 130-131 162 184 194 224 226'],
  [21, '153 161 167 172 176-177 179 209 216-217 227 229-230'],
  [22, '129 132-134 136 146 154 156 160 163-164 169-170 173 178 181 185-187 189-190 196 198 228 232-233'],
  [23, '1 135 137-141 143 147 149-152 155 157-158 165-166 168 174-175 180 182-183 188 191 197 231 239'],
  [24, '9 142 144-145 148 159 171 206 215 225 236-237'],
  [25, '199 207 234-235'],
  [26, '192-193 200-202 205 210 213 218-219 238 240 242-243 255'],
  [27, '203-204 211-212 214 221-223 241 244-248 250-254'],
  [28, '2-8 11-12 14-21 23-31 127 220 249'],
  [30, '10 13 22 256'],
]

const EOS = 256
const codes = new Uint32Array(257)
const lengths = new Uint8Array(257)

/** Tree nodes as pairs of children: 0 is none, n > 0 the node n, n < 0 the leaf of symbol -n - 1. Node 0 is the root. */
const children: number[] = [0, 0]

let nextCode = 0
let previousBits = 0
for (const [bits, symbols] of LENGTHS) {
  nextCode *= 2 ** (bits - previousBits)
  previousBits = bits
  for (const symbol of expand(symbols)) {
    codes[symbol] = nextCode
    lengths[symbol] = bits
    plant(symbol, nextCode, bits)
    nextCode++
  }
}
if (nextCode !== 2 ** previousBits) throw new Error('the Huffman code is not complete')

function expand(symbols: string): number[] {
  return symbols.split(' ').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}

function plant(symbol: number, code: number, bits: number): void {
  let node = 0
  for (let bit = bits - 1; bit > 0; bit--) {
    const side = node * 2 + ((code >>> bit) & 1)
    if (children[side] === 0) {
      children[side] = children.length / 2
      children.push(0, 0)
    }
    node = children[side] ?? 0
  }
  children[node * 2 + (code & 1)] = -symbol - 1
}

const EMIT = 0x1_0000
const FAIL = 0x2_0000
/** [node × 16 + nibble] → next node in the low byte, symbol in the second, EMIT and FAIL above. */
const steps = new Uint32Array((children.length / 2) * 16)
/** Nodes at which a string may end: what was read since the last symbol is all ones, at most 7 of them. */
const mayEnd = new Uint8Array(children.length / 2)

for (let node = 0; node < children.length / 2; node++)
  for (let nibble = 0; nibble < 16; nibble++) steps[node * 16 + nibble] = step(node, nibble)
for (let node = 0, depth = 0; depth < 8; depth++) {
  mayEnd[node] = 1
  node = children[node * 2 + 1] ?? 0
}

function step(start: number, nibble: number): number {
  let node = start
  let emitted = 0
  for (let bit = 3; bit >= 0; bit--) {
    const child = children[node * 2 + ((nibble >>> bit) & 1)] ?? 0
    if (child >= 0) {
      node = child
      continue
    }
    const symbol = -child - 1
    if (symbol === EOS) return FAIL
    emitted = EMIT | (symbol << 8)
    node = 0
  }
  return emitted | node
}

let scratch = Buffer.allocUnsafeSlow(4_096)

/** The string coded in `buffer[start..end)`, or undefined when the coding is wrong (RFC 7541 5.2). */
export function decodeHuffman(buffer: Buffer, start: number, end: number): string | undefined {
  const most = Math.ceil(((end - start) * 8) / 5)
  if (scratch.length < most) scratch = Buffer.allocUnsafeSlow(most)
  const out = scratch
  let length = 0
  let node = 0
  for (let at = start; at < end; at++) {
    const byte = buffer[at] as number
    const high = steps[node * 16 + (byte >>> 4)] as number
    if (high >= EMIT) {
      if (high >= FAIL) return undefined
      out[length++] = (high >>> 8) & 255
    }
    const low = steps[(high & 255) * 16 + (byte & 15)] as number
    if (low >= EMIT) {
      if (low >= FAIL) return undefined
      out[length++] = (low >>> 8) & 255
    }
    node = low & 255
  }
  return mayEnd[node] === 1 ? out.toString('latin1', 0, length) : undefined
}

/** Bytes that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let index = 0; index < text.length; index++) bits += lengths[text.charCodeAt(index) & 255] as number
  return (bits + 7) >>> 3
}

/** Writes the coded `text` at `buffer[start]` and returns the position after it. */
export function encodeHuffman(text: string, buffer: Buffer, start: number): number {
  let at = start
  let held = 0
  let bits = 0
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 255
    let left = lengths[symbol] as number
    const code = codes[symbol] as number
    // At most 7 bits are held, so pieces of 16 keep the sum within 32.
    while (left > 0) {
      const take = Math.min(left, 16)
      left -= take
      held = ((held << take) | ((code >>> left) & ((1 << take) - 1))) >>> 0
      bits += take
      while (bits >= 8) {
        bits -= 8
        buffer[at++] = (held >>> bits) & 255
      }
      held &= (1 << bits) - 1
    }
  }
  // Padding is the start of the end-of-string symbol: ones.
  if (bits > 0) buffer[at++] = ((held << (8 - bits)) | (255 >>> bits)) & 255
  return at
}
