import { once } from 'node:events'
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import * as fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { ClusterState } from '../balance/cluster.ts'
import { assignment, CLUSTER, endpoint, FakeTransport } from '../balance/testing/world.ts'
import { H2ClientConnection } from '../h2/client.ts'
import { H2_BUDGETS, H2_LIMITS } from '../h2/types.ts'
import { LENGTH_UNKNOWN } from '../message.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { dialPlain } from '../upstream/dial.ts'
import { Pool } from '../upstream/pool.ts'
import { SideCall, type SideOutcome, type SideRequest } from './call.ts'
import { frame, unaryCall, unaryOutcome, type UnaryOutcome } from './grpc.ts'
import { ProtoFault, ProtoReader, ProtoWriter } from './protobuf.ts'

const timers = new TimerWheel(systemClock)
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A cluster of one endpoint over a real pool to `port`; 0: nothing listens there. */
function clusterAt(port: number): ClusterState {
  const random = seededRandom(1)
  const context = {
    timers,
    now: () => 0,
    credentials: () => undefined,
    clientTls: () => undefined,
    localAddress: undefined,
    lookup: undefined,
  }
  const state = new ClusterState(CLUSTER, assignment([endpoint('127.0.0.1', { port })]), {
    timers,
    random,
    createTransport: ({ limits, onUsable }) =>
      new Pool({
        name: 'side',
        dial: dialPlain(context, { address: '127.0.0.1', port, timeoutMs: 500 }),
        timers,
        random,
        connectionsMax: 4,
        wanted: () => 0,
        streamsExpected: 1,
        waitersMax: 10,
        keepAlive: false,
        idleMs: 1_000,
        judgesConnections: false,
        limits,
        onUsable,
      }),
  })
  closers.push(() => state.close())
  return state
}

async function serving(handler: RequestListener): Promise<ClusterState> {
  const server = createServer(handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return clusterAt((server.address() as AddressInfo).port)
}

const head = (method = 'GET'): SideRequest['head'] => ({
  method,
  scheme: 'http',
  authority: 'authz.test',
  path: '/check?a',
  protocol: '',
  headers: ['x-one', '1'],
  bodyLength: LENGTH_UNKNOWN,
})

const outcomeOf = (cluster: ClusterState | undefined, request: Partial<SideRequest> = {}): Promise<SideOutcome> =>
  new Promise((resolve) => {
    new SideCall(cluster, { head: head(), body: undefined, timeoutMs: 2_000, ...request }, timers, resolve).start()
  })

describe('a side call', () => {
  it('sends a request and gathers the answer', async () => {
    const cluster = await serving((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        response.setHeader('x-two', `${String(request.headers['x-one'])} ${request.headers.host ?? ''}`)
        response.write(`${request.method} ${request.url} `)
        response.end(Buffer.concat(chunks))
      })
    })
    const outcome = await outcomeOf(cluster, { head: head('POST'), body: Buffer.from('question') })
    expect(outcome).toMatchObject({ kind: 'answer', status: 200 })
    if (outcome.kind !== 'answer') return
    expect(outcome.body.toString()).toBe('POST /check?a question')
    expect(outcome.headers).toContain('1 authz.test')
    expect(cluster.active).toBe(0)
    expect([...cluster.endpoints.values()].map(({ active, requests, errors }) => [active, requests, errors])).toEqual([
      [0, 1, 0],
    ])
  })

  it('fails by name: no cluster, no endpoint, nobody there, nothing heard, too much, too late', async () => {
    expect(await outcomeOf(undefined)).toMatchObject({ reason: 'cluster' })
    const empty = new ClusterState(CLUSTER, assignment([]), {
      timers,
      random: seededRandom(1),
      createTransport: () => new FakeTransport(),
    })
    expect(await outcomeOf(empty)).toMatchObject({ reason: 'none' })
    const closed = createServer()
    closed.listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    expect(await outcomeOf(clusterAt(port))).toMatchObject({ reason: 'connect' })
    expect(await outcomeOf(await serving((request) => request.socket.destroy()))).toMatchObject({ reason: 'lost' })
    const large = await serving((_request, response) => response.end(Buffer.alloc(101)))
    expect(await outcomeOf(large, { answerBytesMax: 100 })).toMatchObject({ reason: 'too-large' })
    expect(await outcomeOf(large, { answerBytesMax: 101 })).toMatchObject({ kind: 'answer' })
    const silent = await serving(() => {})
    expect(await outcomeOf(silent, { timeoutMs: 60 })).toMatchObject({ reason: 'timeout' })
    for (const cluster of [large, silent]) expect(cluster.active).toBe(0)
    expect([...silent.endpoints.values()][0]).toMatchObject({ active: 0, errors: 1 })
  })

  it('once cancelled says nothing more and holds nothing', async () => {
    let asked = (): void => {}
    const reached = new Promise<void>((resolve) => (asked = resolve))
    const cluster = await serving(() => asked())
    const outcomes: SideOutcome[] = []
    const call = new SideCall(cluster, { head: head(), body: undefined, timeoutMs: 2_000 }, timers, (outcome) =>
      outcomes.push(outcome),
    )
    call.start()
    await reached
    call.cancel()
    call.cancel()
    const waiting = new SideCall(cluster, { head: head(), body: undefined, timeoutMs: 0 }, timers, (outcome) =>
      outcomes.push(outcome),
    )
    waiting.start()
    waiting.cancel()
    expect([outcomes, cluster.active, cluster.limits.pending]).toEqual([[], 0, 0])
    expect([...cluster.endpoints.values()][0]).toMatchObject({ active: 0, errors: 0 })
  })
})

describe('a unary call', () => {
  /** Speaks HTTP/2 to `server`, as a pool of such a cluster would. */
  async function calling(handler: (stream: ServerHttp2Stream, headers: object) => void): Promise<ClusterState> {
    const server: Http2Server = createHttp2()
    server.on('stream', handler)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const nothing = (): void => {}
    const handlers = { onCapacity: nothing, onIdle: nothing, onDraining: nothing, onClose: nothing }
    const connection = new H2ClientConnection(socket, handlers, { limits: H2_LIMITS, budgets: H2_BUDGETS, timers })
    closers.push(() => {
      connection.destroy('local')
      server.close()
    })
    const transport = new FakeTransport()
    transport.answer = (waiter) => waiter.onConnected(connection)
    return new ClusterState(CLUSTER, assignment([endpoint('127.0.0.1')]), {
      timers,
      random: seededRandom(1),
      createTransport: () => transport,
    })
  }
  const ask = (cluster: ClusterState, timeoutMs = 2_000): Promise<UnaryOutcome> =>
    new Promise((resolve) => {
      const request = { authority: 'authz.test', path: '/a.B/Check', message: Buffer.from('hello'), timeoutMs }
      unaryCall(cluster, { ...request, metadata: ['x-one', '1'] }, timers, resolve).start()
    })

  it('frames the message, tells the deadline and reads one answer with its status', async () => {
    let asked: object = {}
    let body = Buffer.alloc(0)
    const cluster = await calling((stream, headers) => {
      asked = headers
      stream.on('data', (chunk: Buffer) => (body = Buffer.concat([body, chunk])))
      stream.on('end', () => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
        stream.end(frame(Buffer.from('yes')))
      })
    })
    const outcome = await ask(cluster)
    expect(outcome).toEqual({ kind: 'ok', message: Buffer.from('yes') })
    expect(asked).toMatchObject({
      ':method': 'POST',
      ':path': '/a.B/Check',
      ':authority': 'authz.test',
      te: 'trailers',
      'content-type': 'application/grpc',
      'grpc-timeout': '2000m',
      'x-one': '1',
    })
    expect(body).toEqual(Buffer.from('\0\0\0\0\x05hello'))
  })

  it('ends with the deadline', async () => {
    expect(await ask(await calling(() => {}), 60)).toMatchObject({ kind: 'error', status: 4, timedOut: true })
  })

  it('takes nothing for a yes but status 0 with exactly one message', () => {
    const answer = { kind: 'answer' as const, status: 200, headers: [], trailers: ['grpc-status', '0'], durationMs: 1 }
    const of = (over: object): UnaryOutcome => unaryOutcome({ ...answer, body: frame(Buffer.from('m')), ...over })
    expect(of({})).toMatchObject({ kind: 'ok' })
    expect(of({ trailers: [] })).toMatchObject({ status: 2 })
    expect(of({ trailers: [], headers: ['grpc-status', '7', 'grpc-message', 'no\u0001'] })).toMatchObject({
      status: 7,
      detail: 'no?',
    })
    expect(of({ trailers: [], headers: ['grpc-status', '0'], body: Buffer.alloc(0) })).toMatchObject({ status: 13 })
    expect(of({ status: 503 })).toMatchObject({ kind: 'error' })
    expect(of({ status: 503, trailers: [] })).toMatchObject({ status: 14 })
    expect(of({ body: Buffer.concat([frame(Buffer.from('m')), frame(Buffer.from('n'))]) })).toMatchObject({
      status: 13,
    })
    expect(of({ body: Buffer.from('\x01\0\0\0\x01m') })).toMatchObject({ status: 13 })
    expect(of({ trailers: ['grpc-status', '0x0'] })).toMatchObject({ status: 2 })
    expect(unaryOutcome({ kind: 'failure', reason: 'connect', detail: 'd' })).toMatchObject({ status: 14 })
  })
})

describe('protobuf', () => {
  const ANY = fc.tuple(fc.string(), fc.nat(), fc.double(), fc.boolean(), fc.uint8Array())

  it('writes what it reads', () => {
    fc.assert(
      fc.property(ANY, ([text, count, real, flag, raw]) => {
        const inner = new ProtoWriter().string(1, text).uint(16, count).double(2, real)
        const message = new ProtoWriter().message(3, inner).bool(4, flag).bytes(5, Buffer.from(raw)).time(6, count)
        const seen: unknown[] = []
        const reader = new ProtoReader(message.finish())
        while (reader.next()) {
          if (reader.field === 3) {
            const nested = reader.message()
            while (nested.next()) {
              if (nested.field === 1) seen.push(nested.string())
              if (nested.field === 16) seen.push(nested.uint())
              if (nested.field === 2) seen.push(nested.double())
            }
          }
          if (reader.field === 4) seen.push(reader.bool())
          if (reader.field === 5) seen.push(reader.bytes().equals(raw))
          if (reader.field === 6) seen.push(Math.round(reader.durationMs()))
        }
        const valid = Buffer.from(text).toString('utf8')
        const first = [...(text === '' ? [] : [valid]), ...(count === 0 ? [] : [count]), real]
        expect(seen).toEqual([...first, ...(flag ? [true] : []), true, count])
      }),
    )
  })

  it('ends on any bytes, with a ProtoFault or at their end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reader = new ProtoReader(Buffer.from(bytes))
        try {
          let count = 0
          while (reader.next()) {
            expect(++count).toBeLessThanOrEqual(bytes.length)
            reader.string()
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ProtoFault)
        }
      }),
    )
  })
})
