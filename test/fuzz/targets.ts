/**
 * What is fuzzed, and what has to hold whatever the bytes: no exception, a bounded answer, the same outcome however
 * the bytes are cut, and an accepted message that we write again is read as the same one.
 */
import type { Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts'
import { parseClientHello } from '../../src/proxy/client-hello.ts'
import { H1ClientConnection } from '../../src/proxy/h1/client.ts'
import { H1ServerConnection } from '../../src/proxy/h1/server.ts'
import { H1_LIMITS } from '../../src/proxy/h1/types.ts'
import { H2ClientConnection } from '../../src/proxy/h2/client.ts'
import { HpackDecoder } from '../../src/proxy/h2/hpack-decoder.ts'
import { HpackEncoder } from '../../src/proxy/h2/hpack-encoder.ts'
import { parseProxyHeader } from '../../src/proxy/l4/proxy-protocol.ts'
import { H2ServerConnection } from '../../src/proxy/h2/server.ts'
import { H2_BUDGETS, H2_LIMITS } from '../../src/proxy/h2/types.ts'
import type { RequestHead } from '../../src/proxy/message.ts'
import type { ClientConnectionHandler, ServerConnection, ServerConnectionHandler } from '../../src/proxy/stream.ts'
import { TimerWheel } from '../../src/proxy/timer-wheel.ts'
import { ManualClock } from '../../src/runtime/clock.ts'
import type { Random } from '../../src/runtime/random.ts'
import { RecordedResponse, recording, type RecordedConnection, requestHead } from '../harness/codec.ts'
import { HELLO } from '../harness/frames.ts'
import { MemorySocket } from '../harness/memory-socket.ts'
import { split } from './mutate.ts'

export interface Target {
  readonly name: string
  /** Throws when something does not hold. */
  readonly check: (bytes: Buffer, random: Random) => void
}

/** Bytes that a connection writes of itself, for what it refuses or acknowledges; answers of ours come on top. */
const WRITTEN_MAX = 64 * 1024

const newTimers = (): TimerWheel => new TimerWheel(new ManualClock())

interface Seen {
  readonly head: RequestHead
  readonly text: string
  readonly trailers: readonly string[]
  readonly ended: boolean
}

function serve(
  pieces: readonly Buffer[],
  create: (socket: Socket, handler: ServerConnectionHandler) => ServerConnection,
): { readonly seen: RecordedConnection; readonly requests: Seen[]; readonly written: number } {
  const { socket, memory } = MemorySocket.create()
  const seen = recording((request) => request.stream.respond({ status: 204, headers: [], bodyLength: 0 }, true))
  const connection = create(socket, seen)
  for (const piece of pieces) memory.deliver(piece)
  const requests = seen.requests.map(({ stream, text, trailers, ended }) => ({
    head: stream.head,
    text,
    trailers,
    ended,
  }))
  connection.destroy('local')
  return { seen, requests, written: memory.written.reduce((sum, chunk) => sum + chunk.length, 0) }
}

const h1Server = (pieces: readonly Buffer[]): ReturnType<typeof serve> =>
  serve(
    pieces,
    (socket, handler) =>
      new H1ServerConnection(socket, handler, { limits: H1_LIMITS, timers: newTimers(), scheme: 'http' }),
  )

const h2Server = (pieces: readonly Buffer[]): ReturnType<typeof serve> =>
  serve(
    pieces,
    (socket, handler) =>
      new H2ServerConnection(socket, handler, {
        limits: H2_LIMITS,
        budgets: H2_BUDGETS,
        timers: newTimers(),
        extendedConnect: true,
      }),
  )

function same(what: string, one: unknown, other: unknown): void {
  if (!isDeepStrictEqual(one, other)) throw new Error(`${what}:\n${JSON.stringify(one)}\n${JSON.stringify(other)}`)
}

/** How much of a body came through before its fault was seen is up to the pieces; nobody takes it for whole. */
function settled(requests: readonly Seen[]): readonly Seen[] {
  return requests.map((request) => (request.ended ? request : { ...request, text: '' }))
}

function h1Request(bytes: Buffer, random: Random): void {
  // Lines are judged when they are complete: what ends without LF may be judged later when it came in pieces.
  const whole = Buffer.concat([bytes, Buffer.from('\n\n')])
  const one = h1Server([whole])
  const other = h1Server(split(whole, random))
  same('another outcome in pieces', settled(other.requests), settled(one.requests))
  same('another refusal in pieces', other.seen.refused, one.seen.refused)
  if (one.written > WRITTEN_MAX + one.requests.length * 200) throw new Error(`${one.written} bytes written`)
  for (const request of one.requests) if (request.ended && request.head.protocol === '') rewrite(request)
}

/** Written by our own client and read by our own server it is the same request, and one only. */
function rewrite({ head, text, trailers }: Seen): void {
  if (head.method === 'CONNECT' || head.authority === '') return
  const { socket, memory } = MemorySocket.create()
  const client = new H1ClientConnection(socket, NO_CLIENT, { limits: H1_LIMITS, timers: newTimers() })
  const empty = text === '' && trailers.length === 0
  const stream = client.request(head, empty, new RecordedResponse())
  if (!empty) {
    stream.write(Buffer.from(text, 'latin1'))
    stream.end([...trailers])
  }
  client.output.flush()
  const { requests, seen } = h1Server([Buffer.concat(memory.written)])
  client.destroy('local')
  // What was added to frame it may be over a limit that it was under before.
  if (seen.refused.some((reason) => reason.startsWith('431'))) return
  same('not one request when written again', requests.length, 1)
  const again = requests[0]
  const length = (value: RequestHead): RequestHead => ({ ...value, bodyLength: 0, scheme: '' })
  same('another request when written again', again && length(again.head), length(head))
  same('another body when written again', [again?.text, again?.ended], [text, true])
}

const NO_CLIENT: ClientConnectionHandler = {
  onCapacity: () => {},
  onIdle: () => {},
  onDraining: () => {},
  onClose: () => {},
}

function answersOf(pieces: readonly Buffer[], http2: boolean): unknown {
  const { socket, memory } = MemorySocket.create()
  const timers = newTimers()
  const client = http2
    ? new H2ClientConnection(socket, NO_CLIENT, { limits: H2_LIMITS, budgets: H2_BUDGETS, timers })
    : new H1ClientConnection(socket, NO_CLIENT, { limits: H1_LIMITS, timers })
  const response = new RecordedResponse()
  client.request(requestHead('GET', '/'), true, response)
  for (const piece of pieces) memory.deliver(piece)
  const { head, text, trailers, reset, informational } = response
  const reusable = client.capacity > 0
  client.destroy('local')
  // How much of a broken answer came through before its fault was seen is up to the pieces.
  return { head, text: reset === undefined ? text : '', trailers, reset, informational, reusable }
}

function h1Response(bytes: Buffer, random: Random): void {
  const whole = Buffer.concat([bytes, Buffer.from('\n\n')])
  same('another outcome in pieces', answersOf(split(whole, random), false), answersOf([whole], false))
}

function h2Request(bytes: Buffer, random: Random): void {
  const whole = Buffer.concat([HELLO, bytes])
  const one = h2Server([whole])
  const other = h2Server(split(whole, random))
  same('another outcome in pieces', settled(other.requests), settled(one.requests))
  if (one.written > WRITTEN_MAX + bytes.length * 8) throw new Error(`${one.written} bytes written`)
  for (const request of one.requests) if (request.ended && request.head.protocol === '') rewrite(request)
}

function h2Response(bytes: Buffer, random: Random): void {
  const whole = Buffer.concat([Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), bytes])
  same('another outcome in pieces', answersOf(split(whole, random), true), answersOf([whole], true))
}

/** What was decoded, encoded by us and decoded again, is the same list. */
function hpack(bytes: Buffer): void {
  const decoder = new HpackDecoder(H2_LIMITS)
  const again = new HpackDecoder(H2_LIMITS)
  const encoder = new HpackEncoder(H2_LIMITS.headerTableBytes, { huffman: bytes.length % 2 === 0 })
  for (let at = 0; at < bytes.length; at += 300) {
    const end = Math.min(bytes.length, at + 300)
    if (!decoder.decode(bytes, at, end)) return
    if (decoder.oversized) continue
    const fields = decoder.fields.slice()
    encoder.begin()
    for (let index = 0; index < fields.length; index += 2) encoder.field(fields[index] ?? '', fields[index + 1] ?? '')
    if (!again.decode(encoder.buffer, 0, encoder.length)) throw new Error('our own block is broken')
    same('another list', again.fields.slice(), fields)
  }
}

/** A verdict over a part stands over the whole: more bytes never change who is meant. */
function clientHello(bytes: Buffer, random: Random): void {
  const whole = parseClientHello(bytes)
  let part = Buffer.alloc(0)
  for (const piece of split(bytes, random)) {
    part = Buffer.concat([part, piece])
    const verdict = parseClientHello(part)
    if (verdict.kind === 'incomplete') continue
    same(
      'another verdict over a part',
      verdict.kind === 'hello' ? verdict : verdict.kind,
      whole.kind === 'hello' ? whole : whole.kind,
    )
    return
  }
}

/** The same for the header that a proxy in front of us writes. */
function proxyHeader(bytes: Buffer, random: Random): void {
  const whole = parseProxyHeader(bytes)
  if (whole.kind === 'header' && whole.length > bytes.length) throw new Error('a header longer than what came')
  let part = Buffer.alloc(0)
  for (const piece of split(bytes, random)) {
    part = Buffer.concat([part, piece])
    const verdict = parseProxyHeader(part)
    if (verdict.kind === 'more') continue
    same(
      'another verdict over a part',
      verdict.kind === 'header' ? verdict : verdict.kind,
      whole.kind === 'header' ? whole : whole.kind,
    )
    return
  }
}

function bootstrap(bytes: Buffer): void {
  const result = readBootstrap(bytes.toString('utf8'))
  if (!result.ok && result.faults.length === 0) throw new Error('refused without a reason')
}

export const TARGETS: readonly Target[] = [
  { name: 'h1-request', check: h1Request },
  { name: 'h1-response', check: h1Response },
  { name: 'h2-request', check: h2Request },
  { name: 'h2-response', check: h2Response },
  { name: 'hpack', check: hpack },
  { name: 'client-hello', check: clientHello },
  { name: 'proxy-header', check: proxyHeader },
  { name: 'bootstrap', check: bootstrap },
]
