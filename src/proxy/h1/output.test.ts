import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MemorySocket } from '../../../test/harness/memory-socket.ts'
import { Carry } from './carry.ts'
import { Output } from './output.ts'

describe('Output', () => {
  it('sends every byte once and in order, small pieces and large', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 40, unit: 'binary-ascii' }),
      fc.integer({ min: 1, max: 40_000 }).map((bytes) => Buffer.alloc(bytes, bytes)),
      fc.constant(null),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const { socket, memory } = MemorySocket.create()
        const output = new Output(socket)
        const expected: Buffer[] = []
        for (const next of pieces) {
          if (next === null) {
            output.flush()
            continue
          }
          expected.push(Buffer.from(next))
          if (typeof next === 'string') output.latin1(next)
          else output.chunk(next)
        }
        expect(output.pendingBytes + memory.written.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(
          Buffer.concat(expected).length,
        )
        output.flush()
        expect(Buffer.concat(memory.written).equals(Buffer.concat(expected))).toBe(true)
        expect(output.pendingBytes).toBe(0)
      }),
    )
  })

  it('makes one write of what one turn collected', async () => {
    const { socket, memory } = MemorySocket.create()
    const output = new Output(socket)
    for (let index = 0; index < 100; index++) output.latin1(`${index},`)
    expect(memory.written).toHaveLength(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(memory.written).toHaveLength(1)
  })

  it('does not write over bytes that the socket has not taken yet', () => {
    const { socket, memory } = MemorySocket.create()
    const output = new Output(socket)
    const taken: Buffer[] = []
    memory.write = (chunk: Buffer): boolean => {
      taken.push(chunk)
      memory.writableLength += chunk.length
      return false
    }
    output.latin1('first')
    output.flush()
    const other = new Output(MemorySocket.create().socket)
    other.latin1('other')
    other.flush()
    output.latin1('second')
    output.flush()
    expect(Buffer.concat(taken).toString()).toBe('firstsecond')
  })
})

describe('Carry', () => {
  it('is a queue of bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 900 }), fc.nat({ max: 1_000 }))), (steps) => {
        const carry = new Carry()
        let model = Buffer.alloc(0)
        const shown: { view: Buffer; copy: Buffer }[] = []
        for (const [bytes, used] of steps) {
          carry.append(Buffer.from(bytes))
          model = Buffer.concat([model, bytes])
          const view = carry.view()
          expect(view.equals(model)).toBe(true)
          shown.push({ view, copy: Buffer.from(view) })
          const drop = Math.min(used, model.length)
          carry.drop(drop)
          model = model.subarray(drop)
          expect(carry.length).toBe(model.length)
        }
        // Slices that were passed on stay as they were.
        for (const { view, copy } of shown) expect(view.equals(copy)).toBe(true)
      }),
    )
  })
})
