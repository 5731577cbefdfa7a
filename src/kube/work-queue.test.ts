import { describe, expect, it } from 'vitest'
import { ManualClock } from '../runtime/clock.ts'
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts'

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function queueOf(options: Partial<WorkQueueOptions> = {}) {
  const clock = new ManualClock()
  const done: string[] = []
  const retries: number[] = []
  const queue = new WorkQueue({
    clock,
    random: { next: () => 1 },
    work: (key) => {
      done.push(key)
      return Promise.resolve()
    },
    onError: (_key, _error, retryMs) => retries.push(retryMs),
    ...options,
  })
  return { clock, done, retries, queue }
}

describe('WorkQueue', () => {
  it('merges what waits already and keeps the order of arrival', async () => {
    const { queue, done } = queueOf()
    expect([queue.add('a'), queue.add('b'), queue.add('a')]).toEqual(['queued', 'queued', 'merged'])
    await queue.idle()
    expect(done).toEqual(['a', 'b'])
  })

  it('never works on one key twice at a time, and runs it again when it changed meanwhile', async () => {
    const open: (() => void)[] = []
    let together = 0
    const { queue } = queueOf({
      concurrency: 4,
      work: async () => {
        expect(++together).toBe(1)
        await new Promise<void>((resolve) => open.push(resolve))
        together--
      },
    })
    queue.add('a')
    await settle()
    expect([queue.add('a'), queue.add('a')]).toEqual(['merged', 'merged'])
    open.shift()?.()
    await settle()
    expect(open).toHaveLength(1)
    open.shift()?.()
    await queue.idle()
    expect(together).toBe(0)
  })

  it('retries with a growing delay per key, and forgets it after success', async () => {
    let failing = true
    const { queue, clock, retries } = queueOf({
      work: () => (failing ? Promise.reject(new Error('no')) : Promise.resolve()),
    })
    queue.add('a')
    for (let attempt = 0; attempt < 3; attempt++) {
      await settle()
      clock.advance(1_000)
    }
    await settle()
    expect(retries).toEqual([200, 400, 800, 1600])
    failing = false
    clock.advance(1_600)
    await queue.idle()
    expect(queue.size).toBe(0)
    failing = true
    queue.add('a')
    await settle()
    expect(retries.at(-1)).toBe(200)
    await queue.stop()
  })

  it('looks at a failing key at once when there is news', async () => {
    let attempts = 0
    const { queue } = queueOf({ work: () => (attempts++ === 0 ? Promise.reject(new Error('no')) : Promise.resolve()) })
    queue.add('a')
    await settle()
    expect(queue.add('a')).toBe('queued')
    await queue.idle()
    expect(attempts).toBe(2)
  })

  it('says when it is full', async () => {
    const { queue } = queueOf({ keysMax: 2 })
    expect([queue.add('a'), queue.add('b'), queue.add('c'), queue.add('a')]).toEqual([
      'queued',
      'queued',
      'full',
      'merged',
    ])
    await queue.idle()
    expect(queue.add('c')).toBe('queued')
    await queue.idle()
  })

  it('plans for later, the earliest time winning', async () => {
    const { queue, clock, done } = queueOf()
    expect(queue.addAfter('a', 1_000)).toBe('queued')
    expect(queue.addAfter('a', 2_000)).toBe('merged')
    expect(queue.addAfter('a', 500)).toBe('queued')
    clock.advance(500)
    await queue.idle()
    clock.advance(5_000)
    await queue.idle()
    expect(done).toEqual(['a'])
  })

  it('stops after what is under way, which hears of it', async () => {
    let heard = false
    const { queue, done } = queueOf({
      work: (_key, signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            heard = true
            resolve()
          })
        }),
    })
    queue.add('a')
    queue.add('b')
    await settle()
    await queue.stop()
    expect(heard).toBe(true)
    expect(done).toEqual([])
    expect(queue.add('c')).toBe('stopped')
  })
})
