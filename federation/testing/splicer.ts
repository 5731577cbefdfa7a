/**
 * A stand-in for an east-west gateway in tests: splices by SNI without reading, as the real one does for federation and
 * join, and answers `gateway.*` itself with the health authority. Faults: per server name, bytes can be held back in
 * both directions without closing anything, which is what a cut network looks like.
 */
import { connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2'

export type Role = 'federation' | 'join' | 'gateway'

export interface SplicerOptions {
  /** Where a role's connections go now; undefined refuses them. */
  readonly target: (role: Role) => number | undefined
}

export class Splicer {
  readonly #options: SplicerOptions
  readonly #server: Server
  readonly #pairs = new Set<{ role: Role; sockets: readonly [Socket, Socket] }>()
  readonly #held = new Set<Role>()
  #sockets = new Set<Socket>()
  /** Server names seen, in order. */
  readonly seen: string[] = []

  constructor(options: SplicerOptions) {
    this.#options = options
    this.#server = createTcpServer((socket) => this.#accept(socket))
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** No byte passes any more, in either direction; nothing is closed. */
  cut(...roles: readonly Role[]): void {
    for (const role of roles) this.#held.add(role)
    for (const { role, sockets } of this.#pairs) if (this.#held.has(role)) for (const each of sockets) each.pause()
  }

  heal(...roles: readonly Role[]): void {
    for (const role of roles) this.#held.delete(role)
    for (const { role, sockets } of this.#pairs) if (!this.#held.has(role)) for (const each of sockets) each.resume()
  }

  #accept(socket: Socket): void {
    this.#track(socket)
    let hello = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      hello = Buffer.concat([hello, chunk])
      const name = serverNameOf(hello)
      if (name === undefined) return
      socket.removeListener('data', onData)
      socket.pause()
      this.seen.push(name)
      this.#splice(socket, hello, name.split('.')[0] as Role)
    }
    socket.on('data', onData)
  }

  #splice(socket: Socket, hello: Buffer, role: Role): void {
    const port = this.#options.target(role)
    if (port === undefined) return void socket.destroy()
    const upstream = connect(port, '127.0.0.1')
    this.#track(upstream)
    const pair = { role, sockets: [socket, upstream] as const }
    this.#pairs.add(pair)
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      from.on('data', (chunk) => to.write(chunk))
      from.on('close', () => {
        this.#pairs.delete(pair)
        to.destroy()
      })
    }
    upstream.write(hello)
    if (this.#held.has(role)) for (const each of pair.sockets) each.pause()
    else socket.resume()
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

/** SNI of a ClientHello in one record (RFC 8446 section 4.1.2, RFC 6066 section 3); enough for our own clients. */
function serverNameOf(bytes: Buffer): string | undefined {
  if (bytes.length < 5 || bytes.length < 5 + bytes.readUInt16BE(3)) return undefined
  let at = 5 + 4 + 2 + 32
  at += 1 + bytes.readUInt8(at)
  at += 2 + bytes.readUInt16BE(at)
  at += 1 + bytes.readUInt8(at)
  const end = at + 2 + bytes.readUInt16BE(at)
  at += 2
  while (at < end) {
    const type = bytes.readUInt16BE(at)
    const length = bytes.readUInt16BE(at + 2)
    if (type === 0) return bytes.toString('latin1', at + 9, at + 9 + bytes.readUInt16BE(at + 7))
    at += 4 + length
  }
  return ''
}

export interface HealthGateway {
  readonly port: number
  close(): void
}

/** Terminates the outer connection and answers CONNECT as the health pod would. */
export async function healthGateway(tls: { key: string; cert: string; ca: string }): Promise<HealthGateway> {
  const server: Http2SecureServer = createSecureServer({ ...tls, requestCert: true, minVersion: 'TLSv1.3' })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => stream.destroy())
    const known = headers[':authority'] === 'health.isthmus-system.svc.clusterset.local:15021'
    if (headers[':method'] !== 'CONNECT' || !known) {
      stream.respond({ ':status': 404 }, { endStream: true })
      return
    }
    stream.respond({ ':status': 200 })
    stream.once('data', () => stream.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
