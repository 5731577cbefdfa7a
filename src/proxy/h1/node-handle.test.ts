import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { DirectWriter, directWriterOf } from './node-handle.ts'
import { Output } from './output.ts'
import { kept, takeReads } from './reading.ts'
import { closePairs, pair, until } from './testing/sockets.ts'

afterEach(closePairs)

const outputOf = (socket: Socket, way: 'direct' | 'streams'): Output =>
  way === 'direct' ? new Output(socket) : new Output(socket, () => undefined)

describe('what lies below node:net', () => {
  it('is there in the Node that this repository pins', async () => {
    const { near } = await pair()
    expect(directWriterOf(near)).toBeInstanceOf(DirectWriter)
  })
})

describe.each(['direct', 'streams'] as const)('Output, %s', (way) => {
  it('delivers texts and chunks in order, also to a reader that pauses', async () => {
    const { near, far } = await pair()
    const output = outputOf(near, way)
    const received: Buffer[] = []
    far.pause()
    far.on('data', (chunk: Buffer) => received.push(chunk))
    const sent: Buffer[] = []
    let drained = 0
    near.on('drain', () => drained++)
    for (let index = 0; index < 200; index++) {
      output.latin1(`head ${index} \u00e9\r\n`)
      sent.push(Buffer.from(`head ${index} \u00e9\r\n`, 'latin1'))
      if (index % 3 > 0) {
        const body = Buffer.alloc(index % 3 === 1 ? 100 : 90_000, index)
        output.chunk(body)
        sent.push(body)
      }
      output.flush()
    }
    expect(output.blocked).toBe(true)
    expect(output.pendingBytes).toBeGreaterThan(0)
    far.resume()
    const bytes = sent.reduce((sum, chunk) => sum + chunk.length, 0)
    await until(() => received.reduce((sum, chunk) => sum + chunk.length, 0) === bytes)
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true)
    await until(() => drained > 0)
    expect(output.blocked).toBe(false)
    expect(output.pendingBytes).toBe(0)
  })

  it('ends after what was flushed', async () => {
    const { near, far } = await pair()
    const output = outputOf(near, way)
    far.pause()
    const body = Buffer.alloc(8 * 1024 * 1024, 7)
    output.chunk(body)
    output.flush()
    near.end()
    let bytes = 0
    far.on('data', (chunk: Buffer) => (bytes += chunk.length))
    far.resume()
    await once(far, 'end')
    expect(bytes).toBe(body.length)
  })

  it('destroys a socket whose peer is gone, with the error', async () => {
    const { near, far } = await pair()
    const output = outputOf(near, way)
    const errors: NodeJS.ErrnoException[] = []
    near.on('error', (error) => errors.push(error))
    far.resetAndDestroy()
    await once(far, 'close')
    output.latin1('anyone?')
    output.flush()
    await until(() => near.destroyed && errors.length > 0)
    expect(['EPIPE', 'ECONNRESET']).toContain(errors[0]?.code)
  })
})

describe.each(['shared', 'streams'] as const)('takeReads, %s', (way) => {
  it('keeps what is passed on as it was, whatever other sockets read meanwhile', async () => {
    const pairs = [await pair(), await pair(), await pair()]
    const received = pairs.map((): Buffer[] => [])
    for (const [index, { near }] of pairs.entries()) {
      const take = (buffer: Buffer, end: number): void => void received[index]?.push(kept(buffer, 0, end))
      if (way === 'shared') takeReads(near, take)
      else takeReads(near, take, () => false)
    }
    const sent = pairs.map((): Buffer[] => [])
    for (let round = 0; round < 60; round++) {
      for (const [index, { far }] of pairs.entries()) {
        const chunk = Buffer.alloc(round % 4 === 0 ? 200_000 : 10 + round, round * 3 + index)
        sent[index]?.push(chunk)
        far.write(chunk)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (const [index, chunks] of sent.entries()) {
      const expected = Buffer.concat(chunks)
      const got = (): Buffer => Buffer.concat(received[index] ?? [])
      await until(() => got().length === expected.length)
      expect(got().equals(expected)).toBe(true)
    }
  })
})
