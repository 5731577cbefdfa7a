import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { listen, pump, RecordedResponse, requestHead, timers, type Listening } from '../../../test/harness/codec.ts'
import type { ClientConnectionHandler } from '../stream.ts'
import { H1ClientConnection } from './client.ts'
import { H1_LIMITS } from './types.ts'

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

let server: Listening | undefined
const connections: H1ClientConnection[] = []
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy('local')
  await server?.close()
  server = undefined
})

async function dial(port: number, handler: Events): Promise<H1ClientConnection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  await once(socket, 'connect')
  const connection = new H1ClientConnection(socket, handler, { limits: H1_LIMITS, timers })
  connections.push(connection)
  return connection
}

/** A server that answers every head it reads with the same bytes. */
async function answering(bytes: string, then?: (socket: Socket) => void): Promise<{ port: number; heads: string[] }> {
  const heads: string[] = []
  server = await listen((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      heads.push(chunk.toString('latin1'))
      socket.write(Buffer.from(bytes, 'latin1'))
      then?.(socket)
    })
  })
  return { port: server.port, heads }
}

describe('H1ClientConnection', () => {
  it('reuses the connection for one request after the other', async () => {
    const { port, heads } = await answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nok')
    const handler = events()
    const connection = await dial(port, handler)
    for (let round = 0; round < 3; round++) {
      const response = new RecordedResponse()
      connection.request(requestHead('GET', `/${round}`, { headers: ['te', 'trailers'] }), true, response)
      expect(connection.capacity).toBe(0)
      await response.done
      expect([response.head?.status, response.text, response.head?.headers]).toEqual([200, 'ok', ['x', '1']])
    }
    expect(connection.capacity).toBe(1)
    expect(heads[2]).toBe('GET /2 HTTP/1.1\r\nhost: shop.test\r\nte: trailers\r\nconnection: te\r\n\r\n')
    expect(handler.log).toEqual(['idle', 'capacity', 'idle', 'capacity', 'idle', 'capacity'])
  })

  it('frames requests: sized, chunked, empty', async () => {
    const { port, heads } = await answering('HTTP/1.1 204 No Content\r\n\r\n')
    for (const [length, end] of [
      [3, false],
      [-1, false],
      [0, true],
    ] as const) {
      const connection = await dial(port, events())
      const response = new RecordedResponse()
      const stream = connection.request(requestHead('POST', '/', { bodyLength: length }), end, response)
      if (!end) {
        stream.write(Buffer.from('abc'))
        stream.end()
      }
      await response.done
    }
    expect(heads.map((head) => head.split('\r\n').slice(2).join('|'))).toEqual([
      'content-length: 3||abc',
      'transfer-encoding: chunked||3|abc|0||',
      'content-length: 0||',
    ])
  })

  const broken: [name: string, bytes: string][] = [
    ['Content-Length twice', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx'],
    ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['a folded field', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['no status', 'HTTP/1.1 OK and more text\r\n\r\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2p1 Debian\r\n'],
    ['an upgrade nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['a body on 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'],
    ['100 Continue without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20)],
    ['a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
  ]
  it.each(broken)('gives up on %s', async (_name, bytes) => {
    const { port } = await answering(bytes)
    const handler = events()
    const connection = await dial(port, handler)
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, response)
    await response.done
    expect(response.reset).toBe('protocol')
    expect(await handler.closed).toBe('protocol')
    expect(connection.capacity).toBe(0)
  })

  it('never reuses a connection with bytes after the response', async () => {
    const { port } = await answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n')
    const handler = events()
    const connection = await dial(port, handler)
    const response = new RecordedResponse()
    connection.request(requestHead('GET', '/'), true, response)
    expect((await response.done).text).toBe('ok')
    expect(connection.capacity).toBe(0)
    expect(await handler.closed).toBe('protocol')
    expect(handler.log).not.toContain('capacity')
  })

  it('reads a body that ends with the connection, and tells one that was cut', async () => {
    const whole = await answering('HTTP/1.1 200 OK\r\n\r\nall of it', (socket) => socket.end())
    const first = new RecordedResponse()
    const connection = await dial(whole.port, events())
    connection.request(requestHead('GET', '/'), true, first)
    expect((await first.done).text).toBe('all of it')
    expect(first.reset).toBeUndefined()
    await server?.close()
    const cut = await answering('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart', (socket) => socket.end())
    const second = new RecordedResponse()
    const other = await dial(cut.port, events())
    other.request(requestHead('GET', '/'), true, second)
    expect((await second.done).reset).toBe('lost')
  })

  it('reads answers to HEAD, 304 and informational ones', async () => {
    const { port } = await answering(
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
    )
    const connection = await dial(port, events())
    const response = new RecordedResponse()
    connection.request(requestHead('HEAD', '/'), true, response)
    await response.done
    expect([response.informational, response.head?.bodyLength, response.text]).toEqual([[103], 5, ''])
    expect(connection.capacity).toBe(1)
  })

  it('carries a tunnel after CONNECT and after an upgrade', async () => {
    for (const head of [requestHead('CONNECT', '', { authority: 'b:1' }), requestHead('GET', '/', { protocol: 'x' })]) {
      const status = head.method === 'CONNECT' ? 200 : 101
      server = await listen((socket) => {
        socket.once('data', (first) => {
          socket.write(`HTTP/1.1 ${status} Fine\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n`)
          expect(String(first)).toContain(
            head.method === 'CONNECT' ? 'CONNECT b:1 ' : 'connection: upgrade\r\nupgrade: x',
          )
          socket.pipe(socket)
        })
      })
      const connection = await dial(server.port, events())
      const response = new RecordedResponse()
      const stream = connection.request(head, false, response)
      expect((await response.answered)?.status).toBe(status)
      stream.write(Buffer.from('ping'))
      stream.end()
      await response.done
      expect([response.text, response.reset]).toEqual(['ping', undefined])
      await server.close()
    }
  })

  it('speaks to node:http with large bodies both ways', async () => {
    const origin = createServer((request, response) => {
      response.setHeader('trailer', 'x-sum')
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        response.write(chunk)
      })
      request.on('end', () => {
        response.addTrailers({ 'x-sum': String(bytes) })
        response.end()
      })
    }).listen(0, '127.0.0.1')
    await once(origin, 'listening')
    const connection = await dial((origin.address() as AddressInfo).port, events())
    const response = new RecordedResponse()
    const bytes = Buffer.alloc(3 * 1024 * 1024, 'q')
    const stream = connection.request(requestHead('POST', '/'), false, response)
    const next = pump(stream, bytes, 10_000)
    response.onRequestDrain = next
    next()
    await response.done
    expect(response.trailers).toEqual(['x-sum', String(bytes.length)])
    expect(Buffer.concat(response.body).equals(bytes)).toBe(true)
    expect(connection.capacity).toBe(1)
    origin.closeAllConnections()
    origin.close()
  })
})
