/**
 * What stands behind the proxies under comparison: servers that record what arrives and answer as the case says, by
 * bytes where it wants to misbehave.
 */
import {
  createSecureServer,
  createServer as createH2Server,
  type Http2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import type { Origin, Places } from './case.ts'
import { type Resources, serveDiscovery } from './discovery.ts'
import { type Message, MessageReader } from './message-reader.ts'

/** One request, or the bytes of one connection, as an origin saw it. */
export interface Arrival extends Message {
  readonly origin: string
}

export interface PlainAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** It takes so long. */
  readonly afterMs?: number
  /** HTTP/2 only. */
  readonly trailers?: Readonly<Record<string, string>>
}

/** `reset`: the connection is cut. `never`: nothing comes. `bytes`: exactly these; `close` then closes. */
export type Answer = PlainAnswer | 'reset' | 'never' | { readonly bytes: string; readonly close?: true }

/** For connections that a proxy keeps open on purpose. */
const QUIET_MS = 1_000

export class Origins {
  readonly arrivals: Arrival[] = []
  #tcp = 0
  readonly #open = new Set<{ destroy(): void }>()
  readonly #servers: { close(): void }[] = []

  async start(places: Places, origins: Readonly<Record<string, Origin>>): Promise<void> {
    for (const [name, origin] of Object.entries(origins)) {
      const { discovers } = origin
      const server = discovers === undefined ? this.#serve(name, origin) : this.#discover(name, discovers(places))
      this.#servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(origin.port, places.upstream, resolve)
      })
    }
  }

  /** Connections of TCP origins are known in whole when they are over, which may be after the client saw their end. */
  async quiet(): Promise<void> {
    const deadline = performance.now() + QUIET_MS
    while (this.#tcp > 0 && performance.now() < deadline) await sleep(10)
  }

  close(): void {
    for (const open of this.#open) open.destroy()
    for (const server of this.#servers) server.close()
  }

  #discover(name: string, resources: Resources): Server {
    const server = createH2Server()
    server.on('session', (session: Http2Session) => this.#keep(session))
    server.on('stream', (stream: ServerHttp2Stream, headers) =>
      serveDiscovery(stream, headers, {
        resources,
        heard: (asked) => this.arrivals.push({ origin: name, ...asked, trailers: [] }),
      }),
    )
    return server
  }

  #serve(name: string, origin: Origin): Server {
    if (origin.protocol === 'http2') return this.#serveH2(name, origin)
    const { tls } = origin
    const accept = (socket: Socket): void => this.#accept(name, origin, socket)
    return tls === undefined ? createServer({ allowHalfOpen: true }, accept) : createTlsServer(secured(tls), accept)
  }

  #accept(name: string, origin: Origin, socket: Socket): void {
    this.#keep(socket)
    socket.on('error', () => {})
    if (origin.protocol === 'tcp') return this.#acceptTcp(name, origin, socket)
    const reader = new MessageReader(
      () => 'framed',
      (message) => this.#answer(socket, origin, this.#arrived(name, origin, message)),
    )
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    socket.on('end', () => socket.end())
  }

  /** Answers as soon as the case has an answer; what came in all is known, and recorded, at the end. */
  #acceptTcp(name: string, origin: Origin, socket: Socket): void {
    let body = ''
    let answered = false
    this.#tcp++
    const arrival = (): Arrival => ({ origin: name, line: 'tcp', headers: [], body, trailers: [] })
    const { reads = (text: string) => text } = origin
    socket.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1')
      if (!answered) answered = this.#answer(socket, origin, arrival())
    })
    socket.on('end', () => socket.end())
    // One that nothing came over is no one's business: when a proxy connects is its own affair.
    socket.on('close', () => {
      this.#tcp--
      if (body !== '') this.arrivals.push({ ...arrival(), body: reads(body) })
    })
  }

  #arrived(name: string, { reads, without = [] }: Origin, message: Message): Arrival {
    const arrival = { origin: name, ...message }
    const headers = message.headers.filter(([field]) => !without.includes(field))
    this.arrivals.push({ ...arrival, headers, body: reads?.(message.body) ?? message.body })
    return arrival
  }

  /** False: not yet. */
  #answer(socket: Socket, origin: Origin, arrival: Arrival): boolean {
    const answer = this.#answerOf(origin, arrival)
    if (answer === 'never') return false
    const give = (): void => this.#give(socket, { origin, arrival, answer })
    if (typeof answer === 'object' && 'afterMs' in answer) setTimeout(give, answer.afterMs)
    else give()
    return true
  }

  #give(
    socket: Socket,
    { origin, arrival, answer }: { origin: Origin; arrival: Arrival; answer: Exclude<Answer, 'never'> },
  ): void {
    if (answer === 'reset') return void socket.resetAndDestroy()
    if ('bytes' in answer) {
      const bytes = Buffer.from(answer.bytes, 'latin1')
      return void (answer.close === true ? socket.end(bytes) : socket.write(bytes))
    }
    const { status = 200, headers = {}, body = arrival.origin } = answer
    if (origin.protocol === 'tcp') return void socket.write(body)
    const fields = Object.entries({ ...(status === 204 ? {} : { 'content-length': String(body.length) }), ...headers })
    const head = [`HTTP/1.1 ${status} `, ...fields.map(([key, value]) => `${key}: ${value}`), '', ''].join('\r\n')
    const bare = arrival.line.startsWith('HEAD ') || status === 204 || status === 304
    socket.write(Buffer.from(head + (bare ? '' : body), 'latin1'))
  }

  #answerOf(origin: Origin, arrival: Arrival): Answer {
    const count = this.arrivals.filter((other) => other.origin === arrival.origin).length
    return origin.answer?.(arrival, count) ?? {}
  }

  #serveH2(name: string, origin: Origin): Server {
    const settings = { enableConnectProtocol: true }
    const { tls } = origin
    const server = tls === undefined ? createH2Server({ settings }) : createSecureServer({ settings, ...secured(tls) })
    server.on('session', (session: Http2Session) => this.#keep(session))
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      const chunks: Buffer[] = []
      let trailers: Message['trailers'] = []
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('trailers', (fields) => (trailers = pairs(fields)))
      stream.on('end', () => {
        const line = `${headers[':method']} ${headers[':path']} HTTP/2`
        const body = Buffer.concat(chunks).toString('latin1')
        this.#answerStream(
          stream,
          origin,
          this.#arrived(name, origin, { line, headers: pairs(headers), body, trailers }),
        )
      })
    })
    return server
  }

  #answerStream(stream: ServerHttp2Stream, origin: Origin, arrival: Arrival): void {
    const answer = this.#answerOf(origin, arrival)
    if (answer === 'never') return
    if (answer === 'reset' || 'bytes' in answer) return stream.close(2)
    const { afterMs } = answer
    if (afterMs === undefined) this.#respond(stream, arrival, answer)
    else setTimeout(() => stream.destroyed || this.#respond(stream, arrival, answer), afterMs)
  }

  #respond(stream: ServerHttp2Stream, arrival: Arrival, answer: PlainAnswer): void {
    const { status = 200, headers = {}, body = arrival.origin, trailers } = answer
    stream.respond({ ':status': status, ...headers }, { waitForTrailers: trailers !== undefined })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}))
    stream.end(Buffer.from(body, 'latin1'))
  }

  #keep(open: Socket | Http2Session): void {
    this.#open.add(open)
    open.once('close', () => this.#open.delete(open))
  }
}

const secured = ({ cert, key, ca, alpn }: NonNullable<Origin['tls']>): Parameters<typeof createTlsServer>[0] => ({
  cert,
  key,
  ...(alpn !== undefined && { ALPNProtocols: [...alpn] }),
  ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
})

export function pairs(headers: object): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, String(one)]),
  )
}
