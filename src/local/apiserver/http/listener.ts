/**
 * The listening socket: TLS with HTTP/2 and HTTP/1.1 on one port, client certificates asked for and not required.
 * Hands every request to one function; knows nothing of Kubernetes.
 */
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { HttpRequest, HttpResponse } from './response.ts'
import { listen as openPort } from '../../../runtime/listen.ts'

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  readonly certificate: string
  readonly key: string
  /** PEM of the CA whose client certificates count. */
  readonly clientCa: string
  readonly onRequest: (request: HttpRequest, response: HttpResponse) => void
}

export interface Listener {
  readonly port: number
  /** Lets running requests finish for `graceMs`, then cuts what is left. */
  close(): Promise<void>
}

const KEEP_ALIVE_MS = 120_000 // Go's clients keep idle connections for 90 s: theirs must end first
const STREAMS_MAX = 1_000 // informers of one process share a connection

export async function listen(options: ListenerOptions): Promise<Listener> {
  const server = createSecureServer({
    cert: options.certificate,
    key: options.key,
    ca: options.clientCa,
    allowHTTP1: true,
    requestCert: true,
    rejectUnauthorized: false, // tokens come without one; whether a certificate is good is looked at per request
    settings: { maxConcurrentStreams: STREAMS_MAX },
  })
  const sockets = new Set<Socket>()
  const sessions = new Set<ServerHttp2Session>()
  server.on('secureConnection', (socket: Socket) => track(sockets, socket))
  server.on('session', (session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    session.on('error', () => session.destroy()) // a reset by the peer concerns that session alone
  })
  server.on('request', options.onRequest)
  // Watches are silent for minutes: no timeout may take that for death.
  Object.assign(server, { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0, headersTimeout: 60_000 })
  server.setTimeout(0)
  await openPort(server, { host: options.host, port: options.port })
  const { port } = server.address() as AddressInfo
  return { port, close: () => closed(server, sessions, sockets) }
}

function track(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket)
  socket.setNoDelay(true)
  socket.on('close', () => sockets.delete(socket))
  socket.on('error', () => socket.destroy())
}

function closed(server: Http2SecureServer, sessions: Set<ServerHttp2Session>, sockets: Set<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    for (const session of sessions) session.close()
    // Watches have been ended by now; what is still open is idle or stuck.
    setImmediate(() => {
      for (const session of sessions) session.destroy()
      for (const socket of sockets) socket.destroy()
    })
  })
}
