import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recording, RecordedRequest, type RecordedConnection } from '../../../test/harness/codec.ts'
import { MemorySocket } from '../../../test/harness/memory-socket.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { H1ServerConnection } from './server.ts'
import { H1_LIMITS } from './types.ts'

function answer(request: RecordedRequest): void {
  request.stream.respond({ status: 200, headers: [], bodyLength: 0 }, true)
}

/** Feeds `pieces` to a fresh connection and tells what the core saw, without where the pieces ended. */
function run(pieces: readonly Buffer[]): { events: unknown[]; seen: RecordedConnection; memory: MemorySocket } {
  const { socket, memory } = MemorySocket.create()
  const seen = recording(answer)
  const connection = new H1ServerConnection(socket, seen, {
    limits: H1_LIMITS,
    timers: new TimerWheel(new ManualClock()),
    scheme: 'http',
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
  connection.destroy('local')
  return { events, seen, memory }
}

function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const pieces: Buffer[] = []
  let start = 0
  for (const place of [...places, bytes.length]) {
    pieces.push(Buffer.from(bytes.subarray(start, place)))
    start = place
  }
  return pieces.filter((piece) => piece.length > 0)
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,10}$/)
const value = fc.stringMatching(/^[ -~]{0,20}$/)
const fields = fc.array(
  fc.tuple(token, value).map(([name, text]) => `X-${name}: ${text}\r\n`),
  { maxLength: 8 },
)
const body = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const chunk = fc
  .tuple(body, fc.constantFrom('', ';a=b', ';x'))
  .map(([text, extension]) => (text === '' ? '' : `${text.length.toString(16)}${extension}\r\n${text}\r\n`))
const request = fc.oneof(
  fc
    .tuple(fields, body)
    .map(
      ([lines, text]) =>
        `POST /a HTTP/1.1\r\nHost: a\r\n${lines.join('')}Content-Length: ${text.length}\r\n\r\n${text}`,
    ),
  fc
    .tuple(fields, fc.array(chunk, { maxLength: 5 }), fields)
    .map(
      ([lines, chunks, trailers]) =>
        `PUT /b HTTP/1.1\r\nHost: a\r\n${lines.join('')}Transfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n${trailers.join('')}\r\n`,
    ),
  fields.map((lines) => `GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n${lines.join('')}\r\n`),
  fc.constantFrom(
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
  ),
)
const stream = fc.array(request, { minLength: 1, maxLength: 4 }).map((texts) => Buffer.from(texts.join(''), 'latin1'))
const cuts = fc.array(fc.nat(), { maxLength: 30 })

describe('H1ServerConnection, whatever the network does', () => {
  it('sees the same requests however the bytes are split', () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, places) => {
        expect(run(split(bytes, places)).events).toEqual(run([bytes]).events)
      }),
      { numRuns: 400 },
    )
  })

  it('neither throws nor answers twice when bytes are changed', () => {
    const change = fc.tuple(
      fc.nat(),
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 9, 10, 13, 32, 35, 44, 48, 58, 59, 127)),
    )
    fc.assert(
      fc.property(stream, fc.array(change, { minLength: 1, maxLength: 6 }), cuts, (bytes, changes, places) => {
        // What ends without LF may be judged later when it came in pieces: lines are read when they are complete.
        const changed = Buffer.concat([bytes, Buffer.from('\n\n')])
        for (const [at, byte] of changes) changed[at % bytes.length] = byte
        const { events, seen, memory } = run(split(changed, places))
        expect(run([changed]).events).toEqual(events)
        // A refusal is the last thing a connection does, and it says so.
        expect(seen.refused.length).toBeLessThanOrEqual(1)
        if (seen.refused.length === 1) expect(memory.writableEnded || memory.destroyed).toBe(true)
      }),
      { numRuns: 600 },
    )
  })

  it.each(['GET / HTTP/1.1\n\n', 'GET / HTTP/2.0\n\n', 'GET / HTTP/1\n\n', 'GET / HTTP/1.1\r\n\r\n', 'GET / \n\n'])(
    'judges %j alike at every cut',
    (text) => {
      const bytes = Buffer.from(text)
      const whole = run([bytes]).events
      for (let at = 1; at < bytes.length; at++) expect(run(split(bytes, [at])).events).toEqual(whole)
    },
  )

  it('takes linear time for a head that comes byte by byte', () => {
    const head = Buffer.from(`GET /${'a'.repeat(59_000)} HTTP/1.1\r\nHost: a\r\n\r\n`)
    // Processor time: other people's work on the machine is none of ours.
    const startedAt = process.cpuUsage()
    const { events } = run(Array.from(head, (byte) => Buffer.from([byte])))
    expect(events).toHaveLength(1)
    // Quadratic work would be 1.7 billion bytes; linear is 60 thousand calls.
    const { user } = process.cpuUsage(startedAt)
    expect(user / 1_000).toBeLessThan(1_000)
  })
})
