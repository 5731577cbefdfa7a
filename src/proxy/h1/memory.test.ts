import { describe, expect, it } from 'vitest'
import { MemorySocket } from '../../../test/harness/memory-socket.ts'
import { isWhole, release } from './memory.ts'
import { Output } from './output.ts'

const KIB = 1024

describe('isWhole', () => {
  it('is true of large chunks that are all of their memory, and of nothing else', () => {
    const whole = Buffer.allocUnsafeSlow(16 * KIB)
    expect(isWhole(whole)).toBe(true)
    expect(isWhole(whole.subarray(0, 15 * KIB))).toBe(false)
    expect(isWhole(whole.subarray(1 * KIB))).toBe(false)
    expect(isWhole(Buffer.allocUnsafeSlow(4 * KIB))).toBe(false)
    release(whole)
    expect(whole.length).toBe(0)
    release(whole)
  })
})

describe('Output.give', () => {
  /** What is written, and the callbacks of the writes. */
  function written(): { output: Output; memory: MemorySocket; done: ((error?: Error) => void)[] } {
    const { socket, memory } = MemorySocket.create()
    const done: ((error?: Error) => void)[] = []
    const write = memory.write.bind(memory)
    memory.write = (chunk: Buffer, callback?: (error?: Error) => void) => {
      if (callback !== undefined) done.push(callback)
      return write(chunk)
    }
    return { output: new Output(socket), memory, done }
  }

  it('releases a chunk when it is written, not before', () => {
    const { output, memory, done } = written()
    const chunk = Buffer.allocUnsafeSlow(16 * KIB).fill('x')
    output.latin1('head ')
    output.chunk(chunk)
    output.give(chunk)
    output.flush()
    expect(Buffer.concat(memory.written).toString()).toBe(`head ${'x'.repeat(16 * KIB)}`)
    expect(chunk.length).toBe(16 * KIB)
    for (const callback of done) callback()
    expect(chunk.length).toBe(0)
  })

  it('keeps what was not given, what is part of more, and what could not be written', () => {
    const { output, done } = written()
    const kept = Buffer.allocUnsafeSlow(16 * KIB)
    const more = Buffer.allocUnsafeSlow(32 * KIB)
    const part = more.subarray(16 * KIB)
    for (const chunk of [kept, part]) output.chunk(chunk)
    output.give(part)
    output.flush()
    for (const callback of done.splice(0)) callback()
    const failed = Buffer.allocUnsafeSlow(16 * KIB)
    output.chunk(failed)
    output.give(failed)
    output.flush()
    for (const callback of done) callback(new Error('EPIPE'))
    expect([kept.length, more.length, failed.length]).toEqual([16 * KIB, 32 * KIB, 16 * KIB])
  })
})
