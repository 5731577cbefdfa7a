import { once } from 'node:events'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import { connect, createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import {
  describeRequest,
  h2Server,
  listen,
  pump,
  RecordedResponse,
  recording,
  requestHead,
  timers,
  type Listening,
} from '../../../test/harness/codec.ts'
import { block, frame, RawPeer, words } from '../../../test/harness/frames.ts'
import { LENGTH_UNKNOWN } from '../message.ts'
import type { ClientConnectionHandler, ServerConnectionHandler } from '../stream.ts'
import { serverCertificate } from '../../../test/harness/certificate.ts'
import { H2ClientConnection } from './client.ts'
import { ERROR } from './frames.ts'
import { splice } from './splice.ts'
import { openTunnel } from './tunnel.ts'
import {
  H2_BUDGETS,
  H2_LIMITS,
  H2_TUNNEL_LIMITS,
  type H2Limits,
  type SpliceResult,
  type TunnelOutcome,
} from './types.ts'

const cleanups: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

interface Events extends ClientConnectionHandler {
  readonly log: string[]
  readonly closed: Promise<string>
}

function events(): Events {
  const log: string[] = []
  let close: (reason: string) => void = () => {}
  return {
    log,
    closed: new Promise((resolve) => {
      close = resolve
    }),
    onCapacity: () => log.push('capacity'),
    onIdle: () => log.push('idle'),
    onDraining: () => log.push('draining'),
    onClose: (_connection, reason) => close(reason),
  }
}

async function dial(
  port: number,
  handler: Events = events(),
  limits: H2Limits = H2_LIMITS,
): Promise<H2ClientConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  await once(socket, 'connect')
  const connection = new H2ClientConnection(socket, handler, { limits, budgets: H2_BUDGETS, timers })
  cleanups.push(() => connection.destroy('local'))
  return connection
}

async function serve(handler: ServerConnectionHandler, limits: Partial<H2Limits> = {}): Promise<Listening> {
  const server = await listen((socket) => h2Server(socket, handler, limits))
  cleanups.push(() => server.close())
  return server
}

/** A server that plays frames by hand once the client has spoken. */
async function rawServer(play: (peer: RawPeer) => void): Promise<{ port: number; peer: Promise<RawPeer> }> {
  let ready: (peer: RawPeer) => void = () => {}
  const peer = new Promise<RawPeer>((resolve) => {
    ready = resolve
  })
  const server = await listen((socket) => {
    socket.once('data', (chunk: Buffer) => {
      // Without the preface the rest is frames.
      socket.unshift(chunk.subarray(24))
      const raw = new RawPeer(socket)
      ready(raw)
      play(raw)
    })
  })
  cleanups.push(() => server.close())
  return { port: server.port, peer }
}

async function nodeServer(): Promise<{ port: number; server: Http2Server }> {
  const server = createHttp2Server().listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, server }
}

describe('H2ClientConnection', () => {
  it('sends many requests at once to node:http2, bodies and trailers both ways', async () => {
    const { port, server } = await nodeServer()
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'x-path': headers[':path'] }, { waitForTrailers: true })
      let bytes = 0
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        stream.write(chunk)
      })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(bytes) }))
      stream.on('end', () => stream.end())
    })
    const handler = events()
    const connection = await dial(port, handler)
    const bodies = Array.from({ length: 40 }, (_, index) => Buffer.alloc(index * 20_000, index))
    const responses = bodies.map((body, index) => {
      const response = new RecordedResponse()
      const stream = connection.request(requestHead('POST', `/${index}`), false, response)
      const next = pump(stream, body, 30_000)
      response.onRequestDrain = next
      next()
      return response
    })
    for (const [index, response] of responses.entries()) {
      await response.done
      expect(response.reset).toBeUndefined()
      expect(response.head?.headers.slice(0, 2)).toEqual(['x-path', `/${index}`])
      expect(Buffer.concat(response.body).equals(bodies[index] ?? Buffer.alloc(0))).toBe(true)
      expect(response.trailers).toEqual(['x-sum', String(index * 20_000)])
    }
    expect(connection.activeStreams).toBe(0)
    expect(handler.log.filter((entry) => entry === 'idle')).toHaveLength(1)
    connection.destroy('local')
  })

  it('speaks to our own server: heads arrive as they were', async () => {
    const seen = recording(describeRequest)
    const { port } = await serve(seen)
    const connection = await dial(port)
    for (let round = 0; round < 3; round++) {
      const response = new RecordedResponse()
      const head = requestHead('PUT', '/x?y', { headers: ['x-a', '1', 'cookie', 'a=b'], bodyLength: 3 })
      const stream = connection.request(head, false, response)
      stream.write(Buffer.from('abc'))
      stream.end()
      await response.done
      expect(response.text).toBe('PUT http://shop.test /x?y\nx-a=1\ncookie=a=b\n\nabc')
      expect(response.head?.bodyLength).toBe(response.text.length)
      expect(seen.requests[round]?.stream.head.bodyLength).toBe(3)
    }
  })

  it('opens as many streams as the peer allows, and says when there is room again', async () => {
    const { port } = await serve(
      recording((request) => request.stream.respond({ status: 204, headers: [], bodyLength: 0 }, true)),
      { streamsMax: 3 },
    )
    const handler = events()
    const connection = await dial(port, handler)
    const first = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, first)
    await first.done
    expect(connection.ready).toBe(true)
    expect(connection.capacity).toBe(3)
    handler.log.length = 0
    const responses = Array.from({ length: 3 }, () => new RecordedResponse())
    for (const response of responses) connection.request(requestHead('GET', '/'), true, response)
    expect(connection.capacity).toBe(0)
    expect(() => connection.request(requestHead('GET', '/'), true, first)).toThrow('capacity')
    await Promise.all(responses.map((response) => response.done))
    expect(handler.log).toEqual(['capacity', 'idle'])
  })

  it('answers HEAD, 1xx and 304 as HTTP says', async () => {
    const { port } = await serve(
      recording(({ stream }) => {
        stream.informational({ status: 103, headers: ['link', '</a>'], bodyLength: LENGTH_UNKNOWN })
        stream.respond({ status: stream.head.method === 'HEAD' ? 200 : 304, headers: [], bodyLength: 77 }, true)
      }),
    )
    const connection = await dial(port)
    for (const method of ['HEAD', 'GET']) {
      const response = new RecordedResponse()
      connection.request(requestHead(method, '/'), true, response)
      await response.done
      expect([response.informational, response.head?.bodyLength, response.reset]).toEqual([[103], 77, undefined])
    }
  })

  it('measures the round trip by PING', async () => {
    const { port } = await serve(recording(() => {}))
    const connection = await dial(port)
    const rtt = await new Promise<number>((resolve) => {
      expect(connection.ping(resolve)).toBe(true)
      expect(connection.ping(resolve)).toBe(false)
    })
    expect(rtt).toBeGreaterThanOrEqual(0)
    expect(rtt).toBeLessThan(1_000)
  })

  it('GOAWAY: what the peer never saw may go elsewhere, the rest goes on', async () => {
    const { port, peer } = await rawServer((raw) => raw.send(frame(4, 0, 0)))
    const handler = events()
    const connection = await dial(port, handler)
    const [seen, unseen] = [new RecordedResponse(), new RecordedResponse()]
    connection.request(requestHead('GET', '/1'), true, seen)
    connection.request(requestHead('GET', '/2'), true, unseen)
    const raw = await peer
    await raw.find(({ type, streamId }) => type === 1 && streamId === 3)
    raw.send(frame(7, 0, 0, words(1, 0)))
    await unseen.done
    expect(unseen.reset).toBe('refused')
    expect(handler.log).toContain('draining')
    expect(connection.capacity).toBe(0)
    raw.send(frame(1, 5, 1, block(':status', '200')))
    expect((await seen.done).head?.status).toBe(200)
    expect(await handler.closed).toBe('drained')
  })

  const resets: [code: number, reason: string][] = [
    [ERROR.refused, 'refused'],
    [ERROR.cancel, 'reset'],
    [ERROR.http11Required, 'http1-required'],
    [ERROR.enhanceYourCalm, 'limit'],
  ]
  it.each(resets)('tells reset code %i as %s', async (code, reason) => {
    const { port, peer } = await rawServer((raw) => raw.send(frame(4, 0, 0)))
    const connection = await dial(port)
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, response)
    const raw = await peer
    await raw.find(({ type }) => type === 1)
    raw.send(frame(3, 0, 1, words(code)))
    expect((await response.done).reset).toBe(reason)
  })

  const malformed: [name: string, bytes: Buffer][] = [
    ['no status', block('x', 'y')],
    ['a status of four digits', block(':status', '2000')],
    ['101', block(':status', '101')],
    ['a request pseudo-header', block(':status', '200', ':path', '/')],
    ['connection', block(':status', '200', 'connection', 'close')],
    ['CR LF in a value', block(':status', '200', 'x', 'a\r\nb')],
    ['a length with the end of the stream', block(':status', '200', 'content-length', '5')],
  ]
  it.each(malformed)('resets a stream answered with %s', async (_name, bytes) => {
    const { port, peer } = await rawServer((raw) => raw.send(frame(4, 0, 0)))
    const connection = await dial(port)
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, response)
    const raw = await peer
    await raw.find(({ type }) => type === 1)
    raw.send(frame(1, 5, 1, bytes))
    expect((await response.done).reset).toBe('protocol')
    expect((await raw.find(({ type }) => type === 3))?.payload.readUInt32BE()).toBe(ERROR.protocol)
    expect(connection.capacity).toBeGreaterThan(0)
  })

  it('ends a connection that pushes, or answers what was not asked', async () => {
    for (const bytes of [frame(5, 4, 1, words(2)), frame(1, 5, 7, block(':status', '200')), frame(0, 0, 2)]) {
      const { port } = await rawServer((raw) => raw.send(frame(4, 0, 0), bytes))
      const handler = events()
      const connection = await dial(port, handler)
      const response = new RecordedResponse()
      connection.request(requestHead('GET', '/'), true, response)
      expect((await response.done).reset).toBe('protocol')
      expect(await handler.closed).toBe('protocol')
    }
  })

  it('loses its streams with the connection', async () => {
    const { port, peer } = await rawServer((raw) => raw.send(frame(4, 0, 0)))
    const handler = events()
    const connection = await dial(port, handler)
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, response)
    ;(await peer).socket.resetAndDestroy()
    expect((await response.done).reset).toBe('lost')
    expect(await handler.closed).toBe('lost')
  })

  it('refuses an upgrade to a peer without extended CONNECT', async () => {
    const { port } = await nodeServer()
    const handler = events()
    const connection = await dial(port, handler)
    while (!connection.ready) await new Promise((resolve) => setImmediate(resolve))
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/ws', { protocol: 'websocket' }), false, response)
    expect(response.reset).toBeUndefined()
    expect((await response.done).reset).toBe('http1-required')
  })
})

describe('over TLS', () => {
  it('many streams with bodies arrive whole on both sides', async () => {
    const handler = recording((request) => {
      request.stream.respond({ status: 200, headers: [], bodyLength: LENGTH_UNKNOWN }, false)
      for (const chunk of request.body) request.stream.write(chunk)
      request.stream.end()
    })
    const server = createTlsServer({ ...serverCertificate('a.test'), ALPNProtocols: ['h2'] }, (socket) => {
      h2Server(socket, handler)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanups.push(() => {
      server.close()
    })
    const { port } = server.address() as AddressInfo
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
    await once(socket, 'secureConnect')
    const connection = new H2ClientConnection(socket, events(), { limits: H2_LIMITS, budgets: H2_BUDGETS, timers })
    cleanups.push(() => connection.destroy('local'))
    for (let round = 0; round < 3; round++) {
      const bodies = Array.from({ length: 90 }, (_, index) => Buffer.alloc(10 + index * 997, 32 + index))
      const responses = bodies.map((body, index) => {
        const response = new RecordedResponse()
        const stream = connection.request(requestHead('POST', `/${index}`), false, response)
        for (let at = 0; at < body.length; at += 1_500) stream.write(body.subarray(at, at + 1_500))
        stream.end()
        return response
      })
      for (const [index, response] of responses.entries()) {
        await response.done
        expect(Buffer.concat(response.body).equals(bodies[index] ?? Buffer.alloc(0))).toBe(true)
      }
    }
  })
})

/** A gateway: CONNECT streams are spliced with a connection to `target`. */
function gateway(target: number, results: SpliceResult[]): ServerConnectionHandler {
  return {
    onRequest: (stream) => {
      if (stream.head.authority !== 'inner.test:443') {
        stream.respond({ status: 404, headers: ['isthmus-error', 'X'], bodyLength: 0 }, true)
        return
      }
      stream.pause()
      const socket = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }, () => {
        stream.respond({ status: 200, headers: ['isthmus-version', '1'], bodyLength: LENGTH_UNKNOWN }, false)
        splice(stream, socket, (result) => results.push(result))
        stream.resume()
      })
      socket.on('error', () => stream.reset('connect-error'))
    },
    onRefused: () => {},
    onClose: () => {},
  }
}

function tunnelTo(connection: H2ClientConnection, authority: string): Promise<TunnelOutcome> {
  return new Promise((resolve) => {
    openTunnel(connection, requestHead('CONNECT', '', { authority, bodyLength: LENGTH_UNKNOWN }), resolve)
  })
}

async function tcpServer(accept: (socket: Socket) => void): Promise<number> {
  const server: Server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    accept(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}

describe('tunnels', () => {
  it('TLS runs inside: large bodies both ways, through a splice', async () => {
    const inner = createTlsServer({ ...serverCertificate('inner.test'), allowHalfOpen: true }, (socket) =>
      socket.pipe(socket),
    )
    inner.listen(0, '127.0.0.1')
    await once(inner, 'listening')
    cleanups.push(() => {
      inner.close()
    })
    const results: SpliceResult[] = []
    const { port } = await serve(gateway((inner.address() as AddressInfo).port, results), H2_TUNNEL_LIMITS)
    const connection = await dial(port, events(), H2_TUNNEL_LIMITS)
    const outcome = await tunnelTo(connection, 'inner.test:443')
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    expect(outcome.head.headers).toEqual(['isthmus-version', '1'])
    const tls = tlsConnect({ socket: outcome.duplex, rejectUnauthorized: false, servername: 'inner.test' })
    await once(tls, 'secureConnect')
    const bytes = Buffer.alloc(24 * 1024 * 1024)
    for (let at = 0; at < bytes.length; at += 4_096) bytes.writeUInt32BE(at, at)
    tls.end(bytes)
    const chunks: Buffer[] = []
    for await (const chunk of tls) chunks.push(chunk as Buffer)
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    await until(() => results.length === 1)
    expect(results[0]?.ended).toBe('both')
    expect(results[0]?.bytesToSocket).toBeGreaterThan(bytes.length)
    expect(connection.activeStreams).toBe(0)
  })

  it('says when it was refused, and when the far end broke', async () => {
    const results: SpliceResult[] = []
    const target = await tcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const { port } = await serve(gateway(target, results), H2_TUNNEL_LIMITS)
    const connection = await dial(port)
    expect(await tunnelTo(connection, 'other.test:443')).toMatchObject({ kind: 'refused', head: { status: 404 } })
    const outcome = await tunnelTo(connection, 'inner.test:443')
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    outcome.duplex.write('x')
    await new Promise((resolve) => outcome.duplex.on('close', resolve))
    expect(outcome.duplex.errored?.message).toContain('reset')
    await until(() => results.length === 1)
    expect(results[0]?.ended).toBe('socket-error')
  })

  it('a reader that stops makes no one buffer, in either direction', async () => {
    let far: Socket | undefined
    const target = await tcpServer((socket) => {
      far = socket
    })
    const { port } = await serve(gateway(target, []), { ...H2_LIMITS })
    const connection = await dial(port)
    const outcome = await tunnelTo(connection, 'inner.test:443')
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    const { duplex } = outcome
    const piece = Buffer.alloc(64 * 1024)
    await until(() => far !== undefined)
    far?.pause()
    let written = 0
    const fill = (): void => {
      do written += piece.length
      while (duplex.write(piece))
      duplex.once('drain', fill)
    }
    fill()
    // The kernel and the windows hold some megabytes; then everyone waits, and no one collects.
    await settled(() => written)
    expect(connection.bufferedBytes).toBeLessThan(1024 * 1024)
    expect(written).toBeLessThan(32 * 1024 * 1024)
    duplex.removeAllListeners('drain')
    far?.resume()
    await until(() => duplex.writableLength === 0)
    let sent = 0
    const reply = (): void => {
      do sent += piece.length
      while (far?.write(piece) === true)
      far?.once('drain', reply)
    }
    reply()
    await settled(() => sent)
    expect(sent).toBeLessThan(32 * 1024 * 1024)
    expect(duplex.readableLength).toBeLessThan(2 * H2_LIMITS.streamWindowBytes)
    duplex.destroy()
  })

  it('half-closes in the direction that ended', async () => {
    const results: SpliceResult[] = []
    const target = await tcpServer((socket) => {
      let text = ''
      socket.on('data', (chunk) => (text += String(chunk)))
      socket.on('end', () => socket.end(`heard ${text}`))
    })
    const { port } = await serve(gateway(target, results))
    const connection = await dial(port)
    const outcome = await tunnelTo(connection, 'inner.test:443')
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    outcome.duplex.end('hello')
    let text = ''
    for await (const chunk of outcome.duplex) text += String(chunk)
    expect(text).toBe('heard hello')
    await until(() => results.length === 1)
    expect(results[0]).toEqual({ bytesToSocket: 5, bytesToStream: 11, ended: 'both' })
  })

  it('destroying the tunnel resets its stream and closes the far socket', async () => {
    let farClosed = false
    const target = await tcpServer((socket) => socket.on('end', () => (farClosed = true)).resume())
    const results: SpliceResult[] = []
    const { port } = await serve(gateway(target, results))
    const connection = await dial(port)
    const outcome = await tunnelTo(connection, 'inner.test:443')
    if (outcome.kind !== 'open') throw new Error(outcome.kind)
    outcome.duplex.destroy()
    await until(() => farClosed)
    expect(results[0]?.ended).toBe('stream-reset')
    expect(connection.activeStreams).toBe(0)
  })
})

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 2_000) throw new Error('the condition never came true')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Waits until `value` stays the same for a while. */
async function settled(value: () => number): Promise<void> {
  for (let last = -1, same = 0; same < 10;) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    same = value() === last ? same + 1 : 0
    last = value()
  }
}
