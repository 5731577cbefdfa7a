/** Servers, raw clients and small applications for tests of the proxy's codecs; nothing of the mesh above them. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { H1ServerConnection } from '../../src/proxy/h1/server.ts'
import { H1_LIMITS, type H1Limits } from '../../src/proxy/h1/types.ts'
import { H2ServerConnection } from '../../src/proxy/h2/server.ts'
import { H2_BUDGETS, H2_LIMITS, type H2Budgets, type H2Limits } from '../../src/proxy/h2/types.ts'
import { LENGTH_UNKNOWN, type HeaderList, type RequestHead, type ResponseHead } from '../../src/proxy/message.ts'
import type {
  ClientStream,
  CloseReason,
  RequestSink,
  ResetReason,
  ResponseSink,
  ServerConnectionHandler,
  ServerStream,
} from '../../src/proxy/stream.ts'
import { TimerWheel } from '../../src/proxy/timer-wheel.ts'
import { systemClock } from '../../src/runtime/clock.ts'

export interface Listening {
  readonly port: number
  close(): Promise<void>
}

export async function listen(accept: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Records one request and answers it when told to; `answer` runs when the request has ended. */
export class RecordedRequest implements RequestSink {
  readonly stream: ServerStream
  readonly body: Buffer[] = []
  trailers: HeaderList = []
  ended: boolean
  reset: ResetReason | undefined = undefined
  drains = 0
  readonly #answer: (request: RecordedRequest) => void

  constructor(stream: ServerStream, answer: (request: RecordedRequest) => void) {
    this.stream = stream
    this.#answer = answer
    this.ended = stream.headOnly
  }

  get text(): string {
    return Buffer.concat(this.body).toString('latin1')
  }

  onRequestData(chunk: Buffer): void {
    this.body.push(chunk)
  }

  onRequestEnd(trailers: HeaderList): void {
    this.trailers = trailers
    this.ended = true
    this.#answer(this)
  }

  onRequestReset(reason: ResetReason): void {
    this.reset = reason
  }

  onResponseDrain(): void {
    this.drains++
  }
}

export interface RecordedConnection extends ServerConnectionHandler {
  readonly requests: RecordedRequest[]
  readonly refused: string[]
  closed: { reason: CloseReason; detail: string } | undefined
}

export function recording(answer: (request: RecordedRequest) => void): RecordedConnection {
  const connection: RecordedConnection = {
    requests: [],
    refused: [],
    closed: undefined,
    onRequest: (stream) => {
      const request = new RecordedRequest(stream, answer)
      stream.sink = request
      connection.requests.push(request)
      if (stream.headOnly) answer(request)
    },
    onRefused: (status, detail) => connection.refused.push(`${status} ${detail}`),
    onClose: (reason, detail) => {
      connection.closed = { reason, detail }
    },
  }
  return connection
}

/** Answers with what was asked: method, authority, path, then the fields, then the body. */
export function describeRequest(request: RecordedRequest): void {
  const { head } = request.stream
  const lines = [`${head.method} ${head.scheme}://${head.authority} ${head.path}`]
  for (let index = 0; index < head.headers.length; index += 2)
    lines.push(`${head.headers[index] ?? ''}=${head.headers[index + 1] ?? ''}`)
  respondText(request.stream, 200, `${lines.join('\n')}\n\n${request.text}`)
}

export function respondText(stream: ServerStream, status: number, text: string): void {
  const body = Buffer.from(text, 'latin1')
  stream.respond({ status, headers: ['content-type', 'text/plain'], bodyLength: body.length }, body.length === 0)
  if (body.length === 0) return
  stream.write(body)
  stream.end()
}

export const timers = new TimerWheel(systemClock)

export function h1Server(
  socket: Socket,
  handler: ServerConnectionHandler,
  limits: Partial<H1Limits> = {},
): H1ServerConnection {
  return new H1ServerConnection(socket, handler, { limits: { ...H1_LIMITS, ...limits }, timers, scheme: 'http' })
}

export function h2Server(
  socket: Socket,
  handler: ServerConnectionHandler,
  limits: Partial<H2Limits> = {},
  budgets: Partial<H2Budgets> = {},
): H2ServerConnection {
  return new H2ServerConnection(socket, handler, {
    limits: { ...H2_LIMITS, ...limits },
    budgets: { ...H2_BUDGETS, ...budgets },
    timers,
    extendedConnect: true,
  })
}

/** Sends `pieces`, one per event-loop turn, and resolves to everything received until the server closes. */
export async function exchange(port: number, ...pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const received: Buffer[] = []
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  socket.on('error', () => {})
  await once(socket, 'connect')
  for (const piece of pieces) {
    socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
    await new Promise<void>((resolve) => {
      setImmediate(() => setImmediate(resolve))
    })
  }
  if (!socket.readableEnded && !socket.destroyed) await Promise.race([once(socket, 'end'), once(socket, 'close')])
  socket.destroy()
  return Buffer.concat(received).toString('latin1')
}

/** Collects one response. */
export class RecordedResponse implements ResponseSink {
  head: ResponseHead | undefined = undefined
  readonly informational: number[] = []
  readonly body: Buffer[] = []
  trailers: HeaderList = []
  reset: ResetReason | undefined = undefined
  drains = 0
  readonly done: Promise<this>
  readonly answered: Promise<ResponseHead | undefined>
  onBytes: ((chunk: Buffer) => void) | undefined = undefined
  #finish: (self: this) => void = () => {}
  #answer: (head: ResponseHead | undefined) => void = () => {}

  constructor() {
    this.done = new Promise((resolve) => {
      this.#finish = resolve
    })
    this.answered = new Promise((resolve) => {
      this.#answer = resolve
    })
  }

  get text(): string {
    return Buffer.concat(this.body).toString('latin1')
  }

  onInformational(head: ResponseHead): void {
    this.informational.push(head.status)
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.head = head
    this.#answer(head)
    if (end) this.#finish(this)
  }

  onResponseData(chunk: Buffer): void {
    this.body.push(chunk)
    this.onBytes?.(chunk)
  }

  onResponseEnd(trailers: HeaderList): void {
    this.trailers = trailers
    this.#finish(this)
  }

  onResponseReset(reason: ResetReason): void {
    this.reset = reason
    this.#answer(undefined)
    this.#finish(this)
  }

  onRequestDrain(): void {
    this.drains++
  }
}

export function requestHead(method: string, path: string, fields: Partial<RequestHead> = {}): RequestHead {
  return {
    method,
    scheme: 'http',
    authority: 'shop.test',
    path,
    protocol: '',
    headers: [],
    bodyLength: method === 'POST' ? LENGTH_UNKNOWN : 0,
    ...fields,
  }
}

/** Writes all of `bytes` as fast as back-pressure allows; `next` is to be called on every drain. */
export function pump(stream: ClientStream | ServerStream, bytes: Buffer, pieceBytes: number): () => void {
  let at = 0
  let done = false
  return () => {
    if (done) return
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + pieceBytes)
      at += piece.length
      if (!stream.write(piece) && at < bytes.length) return
    }
    done = true
    stream.end()
  }
}
