import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { kept, takeReads } from './reading.ts'
import { closePairs, pair, until } from './testing/sockets.ts'

afterEach(closePairs)

describe('takeReads', () => {
  it('hands over every byte in order, what was put back and what came while paused included', async () => {
    const { near, far } = await pair()
    near.unshift(Buffer.from('first '))
    const chunks: Buffer[] = []
    const text = (): string => Buffer.concat(chunks).toString()
    let ended = false
    takeReads(near, (buffer, end) => {
      chunks.push(kept(buffer, 0, end))
      if (buffer[end - 1] === 0x21) near.pause()
    })
    near.on('end', () => {
      ended = true
    })
    far.write('second!')
    await until(() => text() === 'first second!')
    // More than the socket's own buffer takes: the peer has to wait, and nothing is handed over.
    const sent = 'x'.repeat(16 * 1024 * 1024)
    far.write(sent)
    far.end('.')
    await until(() => far.writableLength > 0)
    expect(far.writableLength).toBeGreaterThan(0)
    expect(text()).toBe('first second!')
    near.resume()
    await until(() => ended)
    expect(text() === `first second!${sent}.`).toBe(true)
  })

  it('leaves the socket as it was to the next reader', async () => {
    const { near, far } = await pair()
    const taken: string[] = []
    const reads = takeReads(near, (buffer, end) => void taken.push(buffer.toString('latin1', 0, end)))
    far.write('mine')
    await until(() => taken.length > 0)
    near.pause()
    reads.leave()
    far.write('yours')
    const next = once(near, 'data') as Promise<[Buffer]>
    near.resume()
    const [chunk] = await next
    expect(chunk.toString()).toBe('yours')
    expect(taken).toEqual(['mine'])
  })
})
