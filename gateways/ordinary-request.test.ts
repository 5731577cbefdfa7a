import { setImmediate as endOfTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { H2ClientConnection } from '../src/proxy/h2/client.ts'
import { H2ServerConnection } from '../src/proxy/h2/server.ts'
import { H2_BUDGETS, H2_LIMITS } from '../src/proxy/h2/types.ts'
import type { ServerStream } from '../src/proxy/stream.ts'
import { TimerWheel } from '../src/proxy/timer-wheel.ts'
import { ManualClock } from '../src/runtime/clock.ts'
import { RecordedResponse, requestHead } from '../test/harness/codec.ts'
import { MemorySocket } from '../test/harness/memory-socket.ts'
import { OrdinaryRequest } from './ordinary-request.ts'

const TEXT = 'A gateway between clusters: it takes CONNECT from sidecars and nothing else.\n'

/** Our own client before a connection whose requests all are ordinary ones. */
async function gateway() {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const [near, far] = [MemorySocket.create(), MemorySocket.create()]
  const outcomes: string[] = []
  const nothing = (): void => {}
  const options = { limits: H2_LIMITS, budgets: H2_BUDGETS, timers }
  const server = new H2ServerConnection(
    far.socket,
    {
      onRequest: (stream: ServerStream) =>
        new OrdinaryRequest(stream, timers, (status, result) => outcomes.push(`${status} ${result}`)).start(),
      onRefused: nothing,
      onClose: nothing,
    },
    { ...options, extendedConnect: false },
  )
  const handler = { onCapacity: nothing, onIdle: nothing, onDraining: nothing, onClose: nothing }
  const client = new H2ClientConnection(near.socket, handler, options)
  /** Bytes both ways until neither has more to say. */
  const exchange = async (): Promise<void> => {
    for (let quiet = 0; quiet < 3; quiet++) {
      await endOfTurn()
      const [there, back] = [near.memory.written.splice(0), far.memory.written.splice(0)]
      for (const chunk of there) far.memory.deliver(chunk)
      for (const chunk of back) near.memory.deliver(chunk)
      if (there.length + back.length > 0) quiet = -1
    }
  }
  await exchange()
  return { clock, server, client, exchange, outcomes }
}

describe('OrdinaryRequest', () => {
  it('answers in words, HEAD without them', async () => {
    const { server, client, exchange, outcomes } = await gateway()
    const [get, head] = [new RecordedResponse(), new RecordedResponse()]
    client.request(requestHead('GET', '/'), true, get)
    client.request(requestHead('HEAD', '/'), true, head)
    await exchange()
    expect(get.head?.status).toBe(400)
    expect(get.head?.headers).toEqual(expect.arrayContaining(['isthmus-error', 'TUNNEL_MALFORMED']))
    expect([get.text, head.text]).toEqual([TEXT, ''])
    expect(outcomes).toEqual(['400 TUNNEL_MALFORMED', '400 TUNNEL_MALFORMED'])
    expect(server.activeStreams).toBe(0)
  })

  it('waits for the end of a body, for so long and so many bytes', async () => {
    const { clock, client, exchange, outcomes } = await gateway()
    const [whole, slow, long] = [new RecordedResponse(), new RecordedResponse(), new RecordedResponse()]
    const post = { ...requestHead('POST', '/'), bodyLength: -1 }
    const stream = client.request(post, false, whole)
    stream.write(Buffer.alloc(10))
    client.request(post, false, slow)
    await exchange()
    expect(outcomes).toEqual([])
    stream.end()
    await exchange()
    expect(whole.text).toBe(TEXT)
    clock.advance(9_000)
    await exchange()
    expect(slow.head).toBeUndefined()
    clock.advance(1_100)
    await exchange()
    expect(slow.head?.status).toBe(400)
    const endless = client.request(post, false, long)
    for (let sent = 0; sent < 5; sent++) {
      endless.write(Buffer.alloc(16 * 1024))
      await exchange()
    }
    expect(long.head?.status).toBe(400)
    expect(outcomes).toHaveLength(3)
  })

  it('says who left, and is not woken again', async () => {
    const { clock, client, exchange, outcomes } = await gateway()
    const stream = client.request({ ...requestHead('POST', '/'), bodyLength: -1 }, false, new RecordedResponse())
    await exchange()
    stream.reset('cancel')
    await exchange()
    clock.advance(20_000)
    expect(outcomes).toEqual(['0 caller-gone'])
  })
})
