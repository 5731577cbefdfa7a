import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recording, respondText, type RecordedConnection } from '../../../test/harness/codec.ts'
import { block, frame, HELLO, words } from '../../../test/harness/frames.ts'
import { MemorySocket } from '../../../test/harness/memory-socket.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { H2ServerConnection } from './server.ts'
import { H2_BUDGETS, H2_LIMITS } from './types.ts'

function run(pieces: readonly Buffer[]): { events: unknown[]; seen: RecordedConnection; written: number } {
  const { socket, memory } = MemorySocket.create()
  const seen = recording((request) => respondText(request.stream, 200, request.text))
  const connection = new H2ServerConnection(socket, seen, {
    limits: H2_LIMITS,
    budgets: H2_BUDGETS,
    timers: new TimerWheel(new ManualClock()),
    extendedConnect: true,
  })
  for (const piece of pieces) memory.deliver(piece)
  const events = [
    ...seen.requests.map(({ stream, text, trailers, ended, reset }) => ({
      head: stream.head,
      text,
      trailers,
      ended,
      reset,
    })),
    ...seen.refused,
  ]
  connection.sender.output.flush()
  const written = memory.written.reduce((sum, chunk) => sum + chunk.length, 0)
  memory.destroy()
  return { events, seen, written }
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...places, bytes.length]
    .map((place, index, all) => Buffer.from(bytes.subarray(index === 0 ? 0 : all[index - 1], place)))
    .filter((piece) => piece.length > 0)
}

const fields = fc.array(fc.tuple(fc.stringMatching(/^x-[a-z]{1,6}$/), fc.stringMatching(/^[!-~]{0,12}$/)), {
  maxLength: 5,
})
const head = (list: readonly (readonly [string, string])[], method = 'POST'): Buffer =>
  block(':method', method, ':scheme', 'http', ':path', '/p', ':authority', 'a', ...list.flat())
const data = fc.uint8Array({ minLength: 1, maxLength: 80 }).map((bytes) => Buffer.from(bytes))

/** Frames of one request, for a stream id given later. */
const exchange = fc.oneof(
  fields.map((list) => (id: number) => [frame(1, 5, id, head(list, 'GET'))]),
  fc.tuple(fields, fc.array(data, { minLength: 1, maxLength: 3 })).map(([list, parts]) => (id: number) => [
    frame(1, 4, id, head(list)),
    ...parts.map((part, index) => frame(0, index === parts.length - 1 ? 1 : 0, id, part)),
  ]),
  fc.tuple(fields, data, fields).map(([list, part, trailers]) => (id: number) => {
    const bytes = head(list)
    return [
      frame(1, 0, id, bytes.subarray(0, 3)),
      frame(9, 4, id, bytes.subarray(3)),
      frame(0, 8, id, Buffer.concat([Buffer.from([4]), Buffer.from('x'), part, Buffer.alloc(4)])),
      frame(1, 5, id, trailers.length === 0 ? block('x-t', '1') : block(...trailers.flat())),
    ]
  }),
  fc.constant((id: number) => [frame(1, 4, id, head([])), frame(3, 0, id, words(8))]),
  fc.constant(() => [frame(6, 0, 0, Buffer.alloc(8)), frame(4, 0, 0, Buffer.concat([Buffer.from([0, 4]), words(9)]))]),
)
const stream = fc
  .array(exchange, { minLength: 1, maxLength: 6 })
  .map((list) => Buffer.concat([HELLO, ...list.flatMap((make, index) => make(index * 2 + 1))]))
const cuts = fc.array(fc.nat(), { maxLength: 30 })

describe('H2ServerConnection, whatever the network does', () => {
  it('sees the same requests however the bytes are split', () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, places) => {
        const whole = run([bytes])
        expect(whole.seen.closed?.reason).toMatch(/closed|lost/)
        expect(run(split(bytes, places)).events).toEqual(whole.events)
        expect(run(Array.from(bytes, (byte) => Buffer.from([byte]))).events).toEqual(whole.events)
      }),
      { numRuns: 250 },
    )
  })

  it('neither throws nor answers without measure when bytes are changed', () => {
    const change = fc.tuple(fc.nat(), fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 127, 128, 255)))
    fc.assert(
      fc.property(stream, fc.array(change, { minLength: 1, maxLength: 6 }), cuts, (bytes, changes, places) => {
        const changed = Buffer.from(bytes)
        for (const [at, byte] of changes) changed[HELLO.length + (at % (changed.length - HELLO.length || 1))] = byte
        const { events, written } = run(split(changed, places))
        expect(run([changed]).events).toEqual(events)
        // Answers echo bodies: a hundred times what came would be amplification (security.md 3.1).
        expect(written).toBeLessThan(100 * bytes.length)
      }),
      { numRuns: 500 },
    )
  })

  it('serves without end what a peer asks and reads', () => {
    const get = head([], 'GET')
    const { socket, memory } = MemorySocket.create()
    const seen = recording((request) => respondText(request.stream, 200, 'ok'))
    const connection = new H2ServerConnection(socket, seen, {
      limits: H2_LIMITS,
      budgets: H2_BUDGETS,
      timers: new TimerWheel(new ManualClock()),
      extendedConnect: true,
    })
    memory.deliver(HELLO)
    for (let turn = 0; turn < 100; turn++) {
      const ids = Array.from({ length: 250 }, (_, index) => (turn * 250 + index) * 2 + 1)
      memory.deliver(Buffer.concat(ids.map((id) => frame(1, 5, id, get))))
      connection.sender.output.flush()
      memory.written.length = 0
    }
    expect(seen.requests).toHaveLength(25_000)
    expect(seen.closed).toBeUndefined()
    connection.destroy('local')
  })
})
