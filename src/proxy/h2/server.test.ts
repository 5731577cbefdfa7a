import { connect, constants, type ClientHttp2Session } from 'node:http2'
import { execFile } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import {
  describeRequest,
  h2Server,
  listen,
  pump,
  recording,
  respondText,
  type Listening,
  type RecordedConnection,
  type RecordedRequest,
} from '../../../test/harness/codec.ts'
import { block, frame, GET, HELLO, POST, RawPeer, words } from '../../../test/harness/frames.ts'
import { LENGTH_UNKNOWN } from '../message.ts'
import { ERROR, FRAME } from './frames.ts'
import type { H2ServerConnection } from './server.ts'
import type { H2Budgets, H2Limits } from './types.ts'

let server: Listening | undefined
const peers: RawPeer[] = []
const sessions: ClientHttp2Session[] = []
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.destroy()
  for (const session of sessions.splice(0)) session.destroy()
  await server?.close()
  server = undefined
})

interface Started {
  readonly port: number
  readonly seen: RecordedConnection
  readonly connections: H2ServerConnection[]
}

async function start(
  answer: (request: RecordedRequest) => void = describeRequest,
  limits: Partial<H2Limits> = {},
  budgets: Partial<H2Budgets> = {},
): Promise<Started> {
  const seen = recording(answer)
  const connections: H2ServerConnection[] = []
  server = await listen((socket) => connections.push(h2Server(socket, seen, limits, budgets)))
  return { port: server.port, seen, connections }
}

async function raw(port: number): Promise<RawPeer> {
  const peer = await RawPeer.dial(port)
  peers.push(peer)
  return peer
}

function session(port: number, options: object = {}): ClientHttp2Session {
  const client = connect(`http://127.0.0.1:${port}`, options)
  client.on('error', () => {})
  sessions.push(client)
  return client
}

function fetchText(
  client: ClientHttp2Session,
  headers: Record<string, string>,
  body?: Buffer | string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = client.request(headers, { endStream: body === undefined })
    let text = ''
    request.on('data', (chunk) => (text += String(chunk)))
    request.on('end', () => resolve(text))
    request.on('error', reject)
    if (body !== undefined) request.end(body)
  })
}

const HEADERS = FRAME.headers
const END = 0x5
const OPEN = 0x4

describe('H2ServerConnection floods', () => {
  const heads = (count: number, flags: number, then: (id: number) => Buffer[]): Buffer[] =>
    Array.from({ length: count }, (_, index) => index * 2 + 1).flatMap((id) =>
      [frame(HEADERS, flags, id, GET)].concat(then(id)),
    )
  const repeat = (count: number, bytes: Buffer): Buffer[] => Array.from({ length: count }, () => bytes)

  const floods: [name: string, bytes: () => Buffer[]][] = [
    ['rapid reset (CVE-2023-44487)', () => heads(1_200, END, (id) => [frame(3, 0, id, words(ERROR.cancel))])],
    ['streams made to be reset (CVE-2025-8671)', () => heads(1_200, OPEN, (id) => [frame(8, 0, id, words(0))])],
    ['PING', () => repeat(1_500, frame(6, 0, 0, Buffer.alloc(8)))],
    ['SETTINGS', () => repeat(1_500, frame(4, 0, 0, Buffer.concat([Buffer.from([0, 4]), words(70_000)])))],
    ['PRIORITY', () => repeat(300, frame(2, 0, 1, Buffer.alloc(5, 1)))],
    ['empty DATA', () => [frame(HEADERS, OPEN, 1, POST), ...repeat(3, frame(0, 0, 1))]],
    [
      'empty DATA with padding',
      () => [frame(HEADERS, OPEN, 1, POST), ...repeat(50_000, frame(0, 8, 1, Buffer.alloc(1)))],
    ],
    ['WINDOW_UPDATE', () => repeat(1_000, frame(8, 0, 0, words(1)))],
    [
      'CONTINUATION (CVE-2024-27316)',
      () => [frame(HEADERS, 0, 1, GET), ...repeat(600, frame(9, 0, 1, Buffer.alloc(1)))],
    ],
    ['empty CONTINUATION', () => [frame(HEADERS, 0, 1, GET), ...repeat(10, frame(9, 0, 1))]],
    ['one endless header block', () => [frame(HEADERS, 0, 1, GET), ...repeat(8, frame(9, 0, 1, Buffer.alloc(16_384)))]],
    ['unknown frames', () => repeat(300, frame(0xfa, 0, 0, Buffer.alloc(10)))],
    [
      'DATA on closed streams',
      () => [frame(HEADERS, END, 4_001, GET), ...Array.from({ length: 1_200 }, (_, n) => frame(0, 1, n * 2 + 1))],
    ],
  ]

  it.each(floods)('%s ends the connection', async (_name, bytes) => {
    const { port, seen } = await start(() => {})
    const peer = await raw(port)
    peer.send(HELLO, ...bytes())
    const code = await peer.goaway()
    expect([ERROR.enhanceYourCalm, ERROR.flowControl]).toContain(code)
    if (code === ERROR.enhanceYourCalm) expect(await closed(seen)).toBe('flood')
  })

  it('answers that are never read end the connection, and memory stays flat', async () => {
    const { port, seen, connections } = await start(() => {}, {}, { controlBurst: 1e9 })
    const peer = await raw(port)
    peer.send(HELLO)
    await peer.find(({ type }) => type === 4)
    peer.socket.pause()
    const pings = Buffer.concat(repeat(1_000, frame(6, 0, 0, Buffer.alloc(8))))
    let most = 0
    for (let round = 0; round < 5_000 && seen.closed === undefined; round++) {
      const [connection] = connections
      most = Math.max(most, connection?.bufferedBytes ?? 0)
      if (peer.socket.destroyed || !peer.socket.writable) break
      if (!peer.socket.write(pings)) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await closed(seen)).toBe('flood')
    expect(most).toBeLessThan(1024 * 1024)
  })

  it('a list over the limit costs one answer, 431, and an HPACK bomb the connection', async () => {
    const { port, seen } = await start()
    const peer = await raw(port)
    const entry = Buffer.concat([GET, Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4_000, 0x78)])
    peer.send(
      HELLO,
      frame(HEADERS, END, 1, entry),
      frame(HEADERS, END, 3, Buffer.concat([GET, Buffer.alloc(50, 0xbe)])),
    )
    const answer = await peer.find(({ type, streamId }) => type === HEADERS && streamId === 3)
    expect(answer?.payload.toString('latin1')).toContain('431')
    expect(seen.requests).toHaveLength(1)
    expect(seen.refused).toEqual(['431 the header list is too long'])
    peer.send(frame(HEADERS, END, 5, Buffer.concat([GET, Buffer.alloc(10_000, 0xbe)])))
    expect(await peer.goaway()).toBe(ERROR.enhanceYourCalm)
  })

  it('no more streams than announced', async () => {
    const { port, seen } = await start(() => {}, { streamsMax: 5 })
    const peer = await raw(port)
    peer.send(HELLO, ...heads(6, END, () => []))
    const reset = await peer.find(({ type }) => type === 3)
    expect([reset?.streamId, reset?.payload.readUInt32BE()]).toEqual([11, ERROR.refused])
    expect(seen.requests).toHaveLength(5)
  })

  it('callers that cancel now and then are not a flood', async () => {
    const { port, seen } = await start((request) => {
      if (request.stream.head.path === '/') respondText(request.stream, 200, 'ok')
    })
    const peer = await raw(port)
    peer.send(HELLO)
    const slow = block(':method', 'GET', ':scheme', 'http', ':path', '/slow', ':authority', 'a')
    for (let round = 0; round < 40; round++) {
      const base = round * 200 + 1
      for (let index = 0; index < 100; index++) {
        const id = base + index * 2
        peer.send(frame(HEADERS, END, id, index % 4 === 0 ? slow : GET))
        if (index % 4 === 0) peer.send(frame(3, 0, id, words(ERROR.cancel)))
      }
      await peer.find(({ streamId }) => streamId === base + 198)
    }
    expect(seen.closed).toBeUndefined()
    expect(seen.requests).toHaveLength(4_000)
  })
})

async function closed(seen: RecordedConnection): Promise<string | undefined> {
  for (let round = 0; round < 200 && seen.closed === undefined; round++)
    await new Promise((resolve) => setTimeout(resolve, 10))
  return seen.closed?.reason
}

describe('H2ServerConnection refuses', () => {
  const head = (...fields: string[]): Buffer =>
    block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a', ...fields)
  const malformed: [name: string, block: Buffer][] = [
    ['a space in the path', block(':method', 'GET', ':scheme', 'http', ':path', '/a b', ':authority', 'a')],
    ['a fragment in the path', block(':method', 'GET', ':scheme', 'http', ':path', '/a#b', ':authority', 'a')],
    [
      'a request line in the path',
      block(':method', 'GET', ':scheme', 'http', ':path', '/ HTTP/1.1\r\nx: y', ':authority', 'a'),
    ],
    ['a method that is no token', block(':method', 'GE T', ':scheme', 'http', ':path', '/', ':authority', 'a')],
    ['another scheme', block(':method', 'GET', ':scheme', 'ftp', ':path', '/', ':authority', 'a')],
    ['user information', block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'u@a')],
    ['no authority', block(':method', 'GET', ':scheme', 'http', ':path', '/')],
    ['a host that differs', head('host', 'b')],
    ['host twice', head('host', 'a', 'host', 'a')],
    ['CR LF in a value', head('x', 'a\r\nb: c')],
    ['NUL in a value', head('x', '\0')],
    ['a space in a name', head('x y', '1')],
    ['a colon in a name', head('x:y', '1')],
    ['transfer-encoding', head('transfer-encoding', 'chunked')],
    ['connection', head('connection', 'close')],
    ['upgrade', head('upgrade', 'websocket')],
    ['te other than trailers', head('te', 'gzip')],
    ['content-length twice', head('content-length', '0', 'content-length', '0')],
    ['content-length that is no number', head('content-length', '+1')],
    ['content-length without a body', head('content-length', '1')],
    ['CONNECT with a path', block(':method', 'CONNECT', ':path', '/', ':authority', 'a:1')],
    ['CONNECT without a port', block(':method', 'CONNECT', ':authority', 'a')],
    [':protocol on GET', block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a', ':protocol', 'x')],
    [':status', block(':status', '200', ':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'a')],
  ]
  it.each(malformed)('%s', async (_name, bytes) => {
    const { port, seen } = await start()
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, END, 1, bytes), frame(HEADERS, END, 3, GET))
    const reset = await peer.find(({ type }) => type === 3)
    expect([reset?.streamId, reset?.payload.readUInt32BE()]).toEqual([1, ERROR.protocol])
    // The connection lives: the fault is one stream's.
    expect(await peer.find(({ type, streamId }) => type === 0 && streamId === 3)).toBeDefined()
    expect(seen.requests.map((request) => request.stream.head.path)).toEqual(['/'])
  })

  it('what is not HTTP/2', async () => {
    const { port } = await start()
    const peer = await raw(port)
    peer.send(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
    expect(await peer.goaway()).toBe(ERROR.protocol)
  })

  it('takes a frame as long as announced, and none that is longer', async () => {
    const { port, seen } = await start((request) => request.stream.pause())
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, OPEN, 1, POST), frame(0, 0, 1, Buffer.alloc(64 * 1024)))
    await until(() => (seen.requests[0]?.stream.bytesReceived ?? 0) >= 64 * 1024)
    peer.send(frame(0, 0, 1, Buffer.alloc(64 * 1024 + 1)))
    expect(await peer.goaway()).toBe(ERROR.frameSize)
  })

  it('more DATA than the window of the stream', async () => {
    const { port, seen } = await start((request) => request.stream.pause(), {
      streamWindowBytes: 65_535,
      connectionWindowBytes: 1024 * 1024,
    })
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, OPEN, 1, POST))
    await until(() => seen.requests.length === 1)
    seen.requests[0]?.stream.pause()
    peer.send(...Array.from({ length: 5 }, () => frame(0, 0, 1, Buffer.alloc(16_384))))
    const reset = await peer.find(({ type }) => type === 3)
    expect(reset?.payload.readUInt32BE()).toBe(ERROR.flowControl)
    expect(seen.requests[0]?.reset).toBe('protocol')
    expect(seen.closed).toBeUndefined()
  })

  it('more DATA than the window of the connection', async () => {
    const windows = {
      streamWindowBytes: 200_000,
      streamWindowMaxBytes: 200_000,
      connectionWindowBytes: 65_535,
      connectionHeldBytesMax: 0,
    }
    const { port, seen } = await start(() => {}, windows)
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, OPEN, 1, POST))
    await until(() => seen.requests.length === 1)
    seen.requests[0]?.stream.pause()
    peer.send(...Array.from({ length: 5 }, () => frame(0, 0, 1, Buffer.alloc(16_384))))
    expect(await peer.goaway()).toBe(ERROR.flowControl)
  })

  it('no DATA for one stream because nobody reads another, up to a limit', async () => {
    const windows = {
      streamWindowBytes: 65_535,
      streamWindowMaxBytes: 65_535,
      connectionWindowBytes: 65_535,
      connectionHeldBytesMax: 131_072,
    }
    const { port, seen } = await start(() => {}, windows)
    const peer = await raw(port)
    peer.send(HELLO, ...[1, 3, 5, 7].map((id) => frame(HEADERS, OPEN, id, POST)))
    await until(() => seen.requests.length === 4)
    for (const { stream } of seen.requests) stream.pause()
    const reached = (): number => seen.requests.filter(({ stream }) => stream.bytesReceived > 15_000).length
    const body = (id: number): Buffer[] => Array.from({ length: 4 }, () => frame(0, 0, id, Buffer.alloc(16_000)))
    for (const id of [1, 3]) {
      peer.send(...body(id))
      await until(() => reached() > (id - 1) / 2)
    }
    // Two streams hold 128,000 bytes unread of a window of 65,535; a third one may send all the same.
    peer.send(frame(0, 0, 5, Buffer.alloc(16_000)))
    await until(() => reached() === 3)
    expect(seen.closed).toBeUndefined()
    // Beyond what streams may hold together the connection's own window counts again.
    peer.send(...body(7), frame(0, 0, 5, Buffer.alloc(16_000)))
    expect(await peer.goaway()).toBe(ERROR.flowControl)
  })

  it('a peer that sends no SETTINGS in time', async () => {
    const { port, seen } = await start(describeRequest, { handshakeTimeoutMs: 60 })
    const peer = await raw(port)
    expect(await peer.goaway()).toBe(ERROR.settingsTimeout)
    expect(await closed(seen)).toBe('timeout')
  })
})

describe('H2ServerConnection serves', () => {
  it('node:http2: many requests at once, bodies and trailers both ways', async () => {
    const { port } = await start((request) => {
      request.stream.respond({ status: 200, headers: [], bodyLength: LENGTH_UNKNOWN }, false)
      for (const chunk of request.body) request.stream.write(chunk)
      request.stream.end(['x-sum', String(request.text.length), ...request.trailers])
    })
    const client = session(port)
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const body = Buffer.alloc(index * 3_000, index)
        const stream = client.request({ ':method': 'POST', ':path': `/${index}` }, { waitForTrailers: true })
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sent': String(index) }))
        stream.end(body)
        const chunks: Buffer[] = []
        let trailers: Record<string, unknown> = {}
        stream.on('trailers', (fields) => (trailers = fields))
        for await (const chunk of stream) chunks.push(chunk as Buffer)
        return [Buffer.concat(chunks).equals(body), trailers['x-sum'], trailers['x-sent']]
      }),
    )
    expect(answers).toEqual(answers.map((_, index) => [true, String(index * 3_000), String(index)]))
  })

  it('heads as the core wants them: authority, cookies joined, host and expect gone', async () => {
    const { port, seen } = await start()
    const peer = await raw(port)
    const fields = [
      'cookie',
      'a=1',
      'x-y',
      'z',
      'cookie',
      'b=2',
      'host',
      'a',
      'te',
      'trailers',
      'expect',
      '100-continue',
    ]
    peer.send(HELLO, frame(HEADERS, OPEN, 1, Buffer.concat([POST, block(...fields)])))
    const first = await peer.find(({ type }) => type === HEADERS)
    expect(first?.payload.toString('latin1')).toContain('100')
    peer.send(frame(0, 1, 1, Buffer.from('body')))
    await peer.find(({ type }) => type === 0)
    expect(seen.requests[0]?.stream.head).toEqual({
      method: 'POST',
      scheme: 'http',
      authority: 'a',
      path: '/',
      protocol: '',
      headers: ['cookie', 'a=1; b=2', 'x-y', 'z', 'te', 'trailers'],
      bodyLength: LENGTH_UNKNOWN,
    })
  })

  it('large bodies within the windows of both sides', async () => {
    const bytes = Buffer.alloc(6 * 1024 * 1024, 'w')
    let drains = 0
    const { port, seen } = await start((request) => {
      request.stream.respond({ status: 200, headers: [], bodyLength: bytes.length }, false)
      const next = pump(request.stream, bytes, 50_000)
      request.onResponseDrain = () => {
        drains++
        next()
      }
      next()
    })
    const text = await fetchText(session(port), { ':method': 'POST', ':path': '/' }, bytes)
    expect(text.length).toBe(bytes.length)
    expect(seen.requests[0]?.text.length).toBe(bytes.length)
    expect(drains).toBeGreaterThan(5)
  })

  it('a paused stream stops its sender and no other', async () => {
    const { port, seen } = await start(() => {}, { streamWindowBytes: 65_536, connectionWindowBytes: 1024 * 1024 })
    const client = session(port)
    const paused = client.request({ ':method': 'POST', ':path': '/paused' })
    await new Promise((resolve) => paused.write('first', resolve))
    await until(() => seen.requests.length === 1)
    seen.requests[0]?.stream.pause()
    paused.end(Buffer.alloc(500_000, 'p'))
    const other = client.request({ ':method': 'POST', ':path': '/other' })
    other.end(Buffer.alloc(500_000, 'o'))
    await until(() => seen.requests[1]?.ended === true)
    expect(seen.requests[1]?.text.length).toBe(500_000)
    expect(seen.requests[0]?.text.length).toBeLessThanOrEqual(65_536)
    seen.requests[0]?.stream.resume()
    await until(() => seen.requests[0]?.ended === true)
    expect(seen.requests[0]?.text.length).toBe(500_005)
  })

  it('a small answer beside a bulk one does not wait for it', async () => {
    const bulk = Buffer.alloc(32 * 1024 * 1024, 'b')
    const { port } = await start((request) => {
      if (request.stream.head.path !== '/bulk') return respondText(request.stream, 200, 'small')
      request.stream.respond({ status: 200, headers: [], bodyLength: bulk.length }, false)
      request.stream.write(bulk)
      request.stream.end()
    })
    const client = session(port, { settings: { initialWindowSize: 64 * 1024 * 1024 } })
    client.on('connect', () => client.setLocalWindowSize(64 * 1024 * 1024))
    let received = 0
    const stream = client.request({ ':path': '/bulk' })
    stream.on('data', (chunk: Buffer) => (received += chunk.length))
    expect(await fetchText(client, { ':path': '/small' })).toBe('small')
    expect(received).toBeLessThan(bulk.length / 4)
    stream.close(constants.NGHTTP2_CANCEL)
  })

  it('upgrades by extended CONNECT as HTTP/1.1 shows them', async () => {
    const { port, seen } = await start(() => {})
    const peer = await raw(port)
    const ask = block(
      ':method',
      'CONNECT',
      ':protocol',
      'websocket',
      ':scheme',
      'https',
      ':path',
      '/ws',
      ':authority',
      'a',
    )
    peer.send(HELLO, frame(HEADERS, OPEN, 1, ask))
    await until(() => seen.requests.length === 1)
    const [request] = seen.requests
    expect(request?.stream.head).toMatchObject({ method: 'GET', protocol: 'websocket', path: '/ws', authority: 'a' })
    request?.stream.respond({ status: 101, headers: [], bodyLength: LENGTH_UNKNOWN }, false)
    request?.stream.write(Buffer.from('frame'))
    expect((await peer.find(({ type }) => type === HEADERS))?.payload[0]).toBe(0x88)
    expect((await peer.find(({ type }) => type === 0))?.payload.toString()).toBe('frame')
    request?.stream.end()
    peer.send(frame(0, 1, 1, Buffer.from('late')))
    await until(() => request?.ended === true)
    expect(request?.text).toBe('late')
  })

  it('an answer before the request ended stops the client without an error', async () => {
    const seen = recording(() => {})
    server = await listen((socket) =>
      h2Server(socket, { ...seen, onRequest: (stream) => respondText(stream, 413, 'too big') }),
    )
    const peer = await raw(server.port)
    peer.send(HELLO, frame(HEADERS, OPEN, 1, POST))
    const reset = await peer.find(({ type }) => type === 3)
    expect(reset?.payload.readUInt32BE()).toBe(ERROR.none)
    // Its DATA may still be on the way; the connection goes on.
    peer.send(frame(0, 1, 1, Buffer.alloc(100)), frame(HEADERS, OPEN, 3, POST))
    expect(await peer.find(({ streamId, type }) => streamId === 3 && type === 3)).toBeDefined()
    expect(peer.frames.filter(({ type }) => type === 3)).toHaveLength(2)
  })

  it('tells the core when the client resets or goes away', async () => {
    const { port, seen } = await start(() => {})
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, END, 1, GET), frame(HEADERS, END, 3, GET), frame(3, 0, 1, words(ERROR.cancel)))
    await until(() => seen.requests.length === 2)
    peer.socket.destroy()
    await closed(seen)
    expect(seen.requests.map(({ reset }) => reset)).toEqual(['reset', 'lost'])
  })

  it('streams on which nothing moves are reset', async () => {
    const { port, seen } = await start(() => {}, { streamIdleTimeoutMs: 100 })
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, OPEN, 1, POST))
    expect((await peer.find(({ type }) => type === 3))?.payload.readUInt32BE()).toBe(ERROR.cancel)
    expect(seen.requests[0]?.reset).toBe('timeout')
  })

  it('drains: a warning, what is in flight, then the end', async () => {
    const waiting: RecordedRequest[] = []
    const { port, connections, seen } = await start((request) => waiting.push(request))
    const peer = await raw(port)
    peer.send(HELLO, frame(HEADERS, END, 1, GET))
    await until(() => waiting.length === 1)
    connections[0]?.drain()
    const warning = await peer.find(({ type }) => type === 7)
    expect(warning?.payload.readUInt32BE(0)).toBe(0x7fff_ffff)
    // A request that was on its way when the warning came is still served.
    peer.send(frame(HEADERS, END, 3, GET))
    await until(() => waiting.length === 2)
    for (const request of waiting) respondText(request.stream, 200, 'done')
    expect(await closed(seen)).toBe('drained')
    const last = peer.frames.findLast(({ type }) => type === 7)
    expect([last?.payload.readUInt32BE(0), last?.payload.readUInt32BE(4)]).toEqual([3, ERROR.none])
    expect(peer.frames.filter(({ type, flags }) => type === 0 && flags === 1)).toHaveLength(2)
  })

  it('curl, by prior knowledge', async () => {
    const { port } = await start()
    const text = await new Promise<string>((resolve, reject) => {
      execFile('curl', ['-sS', '--http2-prior-knowledge', '-d', 'a=1', `http://127.0.0.1:${port}/1`], (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      )
    })
    expect(text).toContain('/1\n')
    expect(text.endsWith('a=1')).toBe(true)
  })
})

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1_000) throw new Error('the condition never came true')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
