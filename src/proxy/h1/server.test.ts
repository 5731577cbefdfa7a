import { execFile } from 'node:child_process'
import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import {
  describeRequest,
  exchange,
  h1Server,
  listen,
  pump,
  recording,
  respondText,
  type Listening,
  type RecordedConnection,
  type RecordedRequest,
} from '../../../test/harness/codec.ts'
import { REQUEST_ROWS } from '../../../test/conformance/smuggling/rows.ts'
import { LENGTH_UNKNOWN } from '../message.ts'
import type { H1Limits } from './types.ts'

let server: Listening | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function start(
  answer: (request: RecordedRequest) => void = describeRequest,
  limits: Partial<H1Limits> = {},
): Promise<{ port: number; seen: RecordedConnection }> {
  const seen = recording(answer)
  server = await listen((socket) => h1Server(socket, seen, limits))
  return { port: server.port, seen }
}

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n'
const chunked = (body: string): string => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`

describe('H1ServerConnection refuses and closes', () => {
  it.each(REQUEST_ROWS)('$name', async ({ bytes, status }) => {
    const { port, seen } = await start()
    const response = await exchange(port, bytes)
    expect(response.match(/^HTTP\/1\.1 (\d+) /)?.[1]).toBe(String(status))
    expect(response).toContain('connection: close\r\n')
    expect(response.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(seen.refused).toHaveLength(1)
    // Where the head itself is refused, no one above ever hears of the request.
    expect(seen.requests.every((request) => request.reset === 'protocol')).toBe(true)
  })

  it('and reads nothing that follows a refused message', async () => {
    const { port, seen } = await start()
    await exchange(port, 'GET / HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(seen.requests).toHaveLength(0)
  })

  it('accepts the limits themselves: 100 fields, 60 KiB', async () => {
    const { port, seen } = await start((request) => respondText(request.stream, 200, ''))
    const close = 'Connection: close\r\n\r\n'
    expect(await exchange(port, `${HEAD}${'X: a\r\n'.repeat(98)}${close}`)).toMatch(/^HTTP\/1\.1 200/)
    const filler = 60 * 1024 - HEAD.length - close.length - 'X: \r\n'.length
    expect(await exchange(port, `${HEAD}X: ${'a'.repeat(filler)}\r\n${close}`)).toMatch(/^HTTP\/1\.1 200/)
    expect(await exchange(port, `${HEAD}X: ${'a'.repeat(filler + 1)}\r\n${close}`)).toMatch(/^HTTP\/1\.1 431/)
    expect(seen.requests).toHaveLength(2)
  })
})

describe('H1ServerConnection reads', () => {
  it('strips what concerns one hop, and what Connection names', async () => {
    const { port } = await start()
    const response = await exchange(
      port,
      'GET /p?q=1 HTTP/1.1\r\nHOST: Shop.Test:80\r\nConnection: close, X-Private, TE\r\nX-Private: 1\r\nX-Kept:  v \t\r\n' +
        'Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n',
    )
    expect(response.split('\r\n\r\n')[1]).toBe(
      'GET http://shop.test:80 /p?q=1\nx-kept=v\ncookie=a=1; b=2\nte=trailers\n\n',
    )
  })

  it('takes authority and scheme from an absolute target', async () => {
    const { port } = await start()
    const response = await exchange(port, 'GET http://Other.test?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(response).toContain('GET http://other.test /?x\n')
  })

  it('answers pipelined requests in order, although the first is answered last', async () => {
    const waiting: RecordedRequest[] = []
    const { port } = await start((request) => {
      waiting.push(request)
      setTimeout(() => describeRequest(request), request.stream.head.path === '/1' ? 30 : 0)
    })
    const response = await exchange(
      port,
      'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    expect([...response.matchAll(/http:\/\/a (\S+)/g)].map((match) => match[1])).toEqual(['/1', '/2', '/3'])
    expect(response).toContain('\n\nabc')
    expect(waiting).toHaveLength(3)
  })

  it('reads chunks, extensions and trailers however they are split', async () => {
    const text = chunked('3;x="y"\r\nabc\r\n00002\r\nde\r\n0\r\nX-T: 1\r\n\r\n')
    for (const size of [1, 2, 3, 7]) {
      const { port, seen } = await start((request) => {
        request.stream.respond({ status: 200, headers: [], bodyLength: 0 }, true)
      })
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
      const response = await exchange(port, ...pieces, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      expect(response.match(/200 OK/g)).toHaveLength(2)
      expect(seen.requests[0]?.text).toBe('abcde')
      expect(seen.requests[0]?.trailers).toEqual(['x-t', '1'])
      await server?.close()
    }
  })

  it('sends 100 Continue when the core reads, not when it answers first', async () => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n'
    const first = await start()
    expect(await exchange(first.port, head, 'ok')).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/)
    await server?.close()
    const seen = recording(() => {})
    server = await listen((socket) =>
      h1Server(socket, {
        ...seen,
        onRequest: (stream) => {
          stream.pause()
          respondText(stream, 403, 'no')
        },
      }),
    )
    expect(await exchange(server.port, head)).toMatch(/^HTTP\/1\.1 403[^]*no$/)
  })

  it('keeps HTTP/1.0 alive only when asked, and ends its unsized bodies by closing', async () => {
    const { port } = await start((request) => {
      const unsized = request.stream.head.path === '/unsized'
      request.stream.respond({ status: 200, headers: [], bodyLength: unsized ? LENGTH_UNKNOWN : 2 }, false)
      request.stream.write(Buffer.from('ok'))
      request.stream.end()
    })
    const response = await exchange(
      port,
      'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /unsized HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    )
    expect(response).toBe(
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok' +
        'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok',
    )
  })
})

describe('H1ServerConnection, of a client that asks and does not read', () => {
  it('stops reading requests, and goes on when their answers are taken', async () => {
    const { port, seen } = await start((request) => respondText(request.stream, 200, 'x'.repeat(1_000)))
    const socket = connect({ port, host: '127.0.0.1' })
    socket.pause()
    const requests = 40_000
    const block = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_000))
    for (let sent = 0; sent < requests; sent += 1_000) socket.write(block)
    await standsStill(() => seen.requests.length)
    // 40 MB of answers: the kernel takes a few, we a quarter of one.
    expect(seen.requests.length).toBeLessThan(requests / 2)
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    socket.resume()
    await expect.poll(() => seen.requests.length, { timeout: 15_000 }).toBe(requests)
    await expect.poll(() => bytes, { timeout: 15_000 }).toBeGreaterThan(requests * 1_000)
    socket.destroy()
  })

  async function standsStill(count: () => number): Promise<void> {
    for (let before = -1; before !== count();) {
      before = count()
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
})

describe('H1ServerConnection writes', () => {
  it('bodiless answers as their status and method say', async () => {
    const statuses: Record<string, number> = { '/204': 204, '/304': 304, '/head': 200 }
    const { port } = await start((request) => {
      request.stream.respond(
        { status: statuses[request.stream.head.path] ?? 200, headers: [], bodyLength: 5 },
        request.stream.head.path !== '/head',
      )
      request.stream.write(Buffer.from('never'))
      request.stream.end()
    })
    const response = await exchange(
      port,
      'HEAD /head HTTP/1.1\r\nHost: a\r\n\r\nGET /204 HTTP/1.1\r\nHost: a\r\n\r\nGET /304 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    expect(response).toBe(
      'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n' +
        'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\nconnection: close\r\n\r\n',
    )
  })

  it('chunks and trailers', async () => {
    const { port } = await start(({ stream }) => {
      stream.informational({ status: 103, headers: ['link', '</a>'], bodyLength: 0 })
      stream.respond({ status: 200, headers: [], bodyLength: LENGTH_UNKNOWN }, false)
      stream.write(Buffer.from('a'.repeat(16)))
      stream.write(Buffer.from('b'.repeat(70_000)))
      stream.end(['x-t', '1'])
    })
    const response = await exchange(port, `${HEAD}Connection: close\r\n\r\n`)
    expect(response).toBe(
      'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n' +
        'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n' +
        `10\r\n${'a'.repeat(16)}\r\n11170\r\n${'b'.repeat(70_000)}\r\n0\r\nx-t: 1\r\n\r\n`,
    )
  })

  it.each([3, 8])('never a body of another length than declared (%i of 5)', async (bytes) => {
    const { port } = await start(({ stream }) => {
      stream.respond({ status: 200, headers: [], bodyLength: 5 }, false)
      stream.write(Buffer.alloc(bytes, 'x'))
      stream.end()
    })
    const response = await exchange(port, `${HEAD}\r\n`)
    expect(response.split('\r\n\r\n')[1]?.length).toBe(bytes === 3 ? 3 : 0)
  })

  it('an answer before the request ended closes the connection', async () => {
    const seen = recording(() => {})
    server = await listen((socket) =>
      h1Server(socket, { ...seen, onRequest: (stream) => respondText(stream, 413, 'big') }),
    )
    const response = await exchange(server.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc')
    expect(response).toMatch(/^HTTP\/1\.1 413 [^]*big$/)
  })

  it('back-pressure: a reader that is slow stops the writer', async () => {
    const bytes = Buffer.alloc(8 * 1024 * 1024, 'z')
    let next: () => void = () => {}
    let stops = 0
    const seen = recording(() => {})
    server = await listen((socket) =>
      h1Server(socket, {
        ...seen,
        onRequest: (stream) => {
          stream.sink = {
            onRequestData: () => {},
            onRequestEnd: () => {},
            onRequestReset: () => {},
            onResponseDrain: () => {
              stops++
              next()
            },
          }
          stream.respond({ status: 200, headers: [], bodyLength: bytes.length }, false)
          next = pump(stream, bytes, 64 * 1024)
          next()
        },
      }),
    )
    const response = await exchange(server.port, `${HEAD}Connection: close\r\n\r\n`)
    expect(response.length - response.indexOf('\r\n\r\n') - 4).toBe(bytes.length)
    expect(stops).toBeGreaterThan(4)
  })
})

describe('H1ServerConnection tunnels', () => {
  const echo = (request: RecordedRequest): void => {
    for (const chunk of request.body.splice(0)) request.stream.write(chunk)
  }

  it('carries bytes after an accepted CONNECT, those sent early too, and half-closes', async () => {
    const seen = recording((request) => {
      echo(request)
      request.stream.end()
    })
    server = await listen((socket) =>
      h1Server(socket, {
        ...seen,
        onRequest: (stream) => {
          seen.onRequest(stream)
          setImmediate(() => stream.respond({ status: 200, headers: [], bodyLength: 0 }, false))
        },
      }),
    )
    const { connect } = await import('node:net')
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.end('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nearly bytes')
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    expect(text).toBe('HTTP/1.1 200 OK\r\n\r\nearly bytes')
    expect(seen.requests[0]?.stream.head).toMatchObject({ method: 'CONNECT', authority: 'b:443', path: '' })
  })

  it('gives up the socket with the bytes already read', async () => {
    const seen = recording(() => {})
    server = await listen((socket) =>
      h1Server(socket, {
        ...seen,
        onRequest: (stream) => {
          stream.respond({ status: 101, headers: ['x', '1'], bodyLength: 0 }, false)
          const detached = stream.detach()
          detached?.socket.end(`got ${detached.head.toString()}`)
        },
      }),
    )
    const response = await exchange(
      server.port,
      'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nfirst frame',
    )
    expect(response).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nx: 1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\ngot first frame',
    )
  })

  it('never reads what follows a refused CONNECT or upgrade as a request', async () => {
    const { port, seen } = await start((request) => respondText(request.stream, 403, ''))
    const seen2 = recording(() => {})
    const refusing = await listen((socket) =>
      h1Server(socket, { ...seen2, onRequest: (stream) => respondText(stream, 403, 'no') }),
    )
    for (const head of [
      'CONNECT b:1 HTTP/1.1\r\nHost: b\r\n\r\n',
      `${HEAD}Connection: upgrade\r\nUpgrade: x\r\n\r\n`,
    ]) {
      const response = await exchange(refusing.port, `${head}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
      expect(response.match(/HTTP\/1\.1/g)).toHaveLength(1)
    }
    await refusing.close()
    expect(seen.requests).toHaveLength(0)
    expect(port).toBeGreaterThan(0)
  })
})

describe('H1ServerConnection times out', () => {
  it('a head that does not end (408), and a connection that sends none', async () => {
    const { port, seen } = await start(describeRequest, { headTimeoutMs: 60 })
    expect(await exchange(port, HEAD)).toMatch(/^HTTP\/1\.1 408/)
    expect(await exchange(port, '')).toBe('')
    expect(seen.requests).toHaveLength(0)
  })

  it('an idle connection', async () => {
    const { port, seen } = await start(describeRequest, { idleTimeoutMs: 60 })
    expect(await exchange(port, `${HEAD}\r\n`)).toMatch(/^HTTP\/1\.1 200/)
    expect(seen.closed?.reason ?? 'idle').toBe('idle')
  })

  it('a body that stands still', async () => {
    const { port, seen } = await start(describeRequest, { streamIdleTimeoutMs: 60 })
    expect(await exchange(port, `${HEAD}Content-Length: 10\r\n\r\nabc`)).toMatch(/^HTTP\/1\.1 408/)
    expect(seen.requests[0]?.reset).toBe('timeout')
  })
})

describe('H1ServerConnection with other clients', () => {
  it('serves node:http with keep-alive, bodies and trailers', async () => {
    const { port } = await start()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let round = 0; round < 5; round++) {
      const text = await new Promise<string>((resolve, reject) => {
        const request = httpRequest(
          { port, host: '127.0.0.1', method: 'POST', path: `/${round}`, agent },
          (response) => {
            let body = ''
            response.on('data', (chunk) => (body += String(chunk)))
            response.on('end', () => resolve(body))
          },
        )
        request.on('error', reject)
        request.end('x'.repeat(100_000))
      })
      expect(text).toContain(`/${round}`)
      expect(text.endsWith('x'.repeat(100_000))).toBe(true)
    }
    agent.destroy()
  })

  it('serves curl', async () => {
    const { port } = await start()
    const text = await new Promise<string>((resolve, reject) => {
      execFile(
        'curl',
        [
          '-sS',
          '-H',
          'Expect: 100-continue',
          '-d',
          'a=1',
          `http://127.0.0.1:${port}/curl`,
          `http://127.0.0.1:${port}/2`,
        ],
        (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
      )
    })
    expect(text).toContain('/curl')
    expect(text.match(/a=1/g)).toHaveLength(2)
  })
})
