/** The two origins of the suite: one that records whatever reaches it, and one that answers with chosen bytes. */
import { once } from 'node:events'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'

export interface RecordingOrigin {
  readonly port: number
  /** Everything that arrived, of all connections. */
  received(): string
  /** Requests that node:http took for complete, as `METHOD target`. */
  readonly finished: string[]
  clear(): void
  close(): void
}

export async function startRecordingOrigin(): Promise<RecordingOrigin> {
  const chunks: Buffer[] = []
  const finished: string[] = []
  const server = createHttp((request, response) => {
    request.resume()
    request.on('error', () => {})
    request.on('end', () => {
      if (!request.complete) return
      finished.push(`${request.method} ${request.url}`)
      response.end('ok')
    })
  })
  server.on('connection', (socket) => socket.prependListener('data', (chunk: Buffer) => chunks.push(chunk)))
  return {
    port: await listenAt(server),
    received: () => Buffer.concat(chunks).toString('latin1'),
    finished,
    clear: () => {
      chunks.length = 0
      finished.length = 0
    },
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

export interface HostileOrigin {
  readonly port: number
  /** What the next request on a connection's first use gets; later ones on the same connection get `poisoned`. */
  answer: string
  connections: number
  close(): void
}

/** Answers the first request of each connection with `answer`, and every later one with an answer that gives it away. */
export async function startHostileOrigin(): Promise<HostileOrigin> {
  const origin = { port: 0, answer: '', connections: 0, close: () => {} }
  const sockets = new Set<{ destroy(): void }>()
  const server = createServer((socket) => {
    sockets.add(socket)
    origin.connections++
    let requests = 0
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', () => {
      requests++
      const reused = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nreused'
      socket.write(Buffer.from(requests === 1 ? origin.answer : reused, 'latin1'))
    })
  })
  origin.port = await listenAt(server)
  origin.close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return origin
}

async function listenAt(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
