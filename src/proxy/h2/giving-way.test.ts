/** Over a long way a large answer's body waits until the peer knows of it, so that small ones are not behind it. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { block, frame, HELLO, words } from '../../../test/harness/frames.ts'
import { ManualClock } from '../../runtime/clock.ts'
import type { ServerStream } from '../stream.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { FRAME } from './frames.ts'
import { H2ServerConnection } from './server.ts'
import { H2_BUDGETS, H2_FAR_LIMITS, H2_LIMITS, type H2Limits } from './types.ts'

const GET = block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a')
const BODY = Buffer.alloc(1024 * 1024)

/** A socket that takes everything at once; DATA bytes by stream. */
class Taken extends EventEmitter {
  readonly writableLength = 0
  readonly destroyed = false
  readonly writableEnded = false
  readonly writable = true
  #bytes = Buffer.alloc(0)
  write(chunk: Buffer, done?: () => void): boolean {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    done?.()
    return true
  }
  push(): boolean {
    return true
  }
  cork(): void {}
  uncork(): void {}
  end(): void {}
  destroy(): void {}

  dataOf(stream: number): number {
    let sum = 0
    for (let at = 0; at + 9 <= this.#bytes.length; at += 9 + this.#bytes.readUIntBE(at, 3)) {
      const of = this.#bytes.readUInt32BE(at + 5)
      if (this.#bytes[at + 3] === FRAME.data && of === stream) sum += this.#bytes.readUIntBE(at, 3)
    }
    return sum
  }
}

function world(limits: H2Limits): {
  taken: Taken
  clock: ManualClock
  ask: (id: number) => ServerStream
  send: (bytes: Buffer) => void
} {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const taken = new Taken()
  const streams: ServerStream[] = []
  const handler = {
    onRequest: (stream: ServerStream) => void streams.push(stream),
    onRefused: () => {},
    onClose: () => {},
  }
  const options = { limits, budgets: H2_BUDGETS, timers, extendedConnect: false }
  const connection = new H2ServerConnection(taken as unknown as Socket, handler, options)
  const send = (bytes: Buffer): void => void taken.emit('data', bytes)
  send(HELLO)
  expect(connection.activeStreams).toBe(0)
  const ask = (id: number): ServerStream => {
    send(frame(FRAME.headers, 5, id, GET))
    return streams.at(-1) ?? expect.unreachable()
  }
  return { taken, clock, ask, send }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(() => setImmediate(resolve)))

async function answerLarge(stream: ServerStream): Promise<void> {
  stream.respond({ status: 200, headers: [], bodyLength: BODY.length }, false)
  stream.write(BODY)
  await turn()
}

describe('a body larger than its window, between clusters', () => {
  it('waits for the peer to open the window while others use the connection', async () => {
    const { taken, ask, send } = world(H2_FAR_LIMITS)
    const small = ask(1)
    const large = ask(3)
    await answerLarge(large)
    small.respond({ status: 200, headers: [], bodyLength: 5 }, false)
    small.write(Buffer.from('small'))
    small.end()
    await turn()
    expect([taken.dataOf(1), taken.dataOf(3)]).toEqual([5, 0])
    send(frame(FRAME.windowUpdate, 0, 3, words(512 * 1024)))
    await turn()
    // What the connection's window, which is the smaller one here, allows.
    expect(taken.dataOf(3)).toBeGreaterThan(32 * 1024)
  })

  it('waits no longer than a long round trip takes', async () => {
    const { taken, clock, ask } = world(H2_FAR_LIMITS)
    ask(1)
    await answerLarge(ask(3))
    clock.advance(300)
    await turn()
    expect(taken.dataOf(3)).toBe(0)
    clock.advance(200)
    await turn()
    expect(taken.dataOf(3)).toBeGreaterThan(32 * 1024)
  })

  it('does not wait where nobody asked for a second, or the way is short', async () => {
    const far = world(H2_FAR_LIMITS)
    far.ask(1).reset('cancel')
    far.clock.advance(5_000)
    await answerLarge(far.ask(3))
    expect(far.taken.dataOf(3)).toBeGreaterThan(32 * 1024)
    const near = world(H2_LIMITS)
    near.ask(1)
    await answerLarge(near.ask(3))
    expect(near.taken.dataOf(3)).toBeGreaterThan(32 * 1024)
  })
})
