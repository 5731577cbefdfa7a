/**
 * CPU per request of the codecs alone, beside node:http and node:http2: one server process per kind answers small
 * requests, this process is the load. Not a benchmark of the proxy (that is run.ts's business) and not part of
 * npm test. `node test/bench/codec.ts [seconds] [rounds]`; `--cpu-prof` may be given to a server by BENCH_NODE_ARGS.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { H1ServerConnection } from '../../src/proxy/h1/server.ts'
import { H1_LIMITS } from '../../src/proxy/h1/types.ts'
import { H2ClientConnection } from '../../src/proxy/h2/client.ts'
import { H2ServerConnection } from '../../src/proxy/h2/server.ts'
import { H2_BUDGETS, H2_LIMITS } from '../../src/proxy/h2/types.ts'
import type { HeaderList, RequestHead, ResponseHead } from '../../src/proxy/message.ts'
import type { RequestSink, ResponseSink, ServerConnectionHandler, ServerStream } from '../../src/proxy/stream.ts'
import { TimerWheel } from '../../src/proxy/timer-wheel.ts'
import { systemClock } from '../../src/runtime/clock.ts'

type Kind = 'h1 isthmus' | 'h1 node:http' | 'h2 isthmus' | 'h2 node:http2'
const KINDS: readonly Kind[] = (process.env['BENCH_KINDS']?.split(',') ?? [
  'h1 isthmus',
  'h1 node:http',
  'h2 isthmus',
  'h2 node:http2',
]) as Kind[]

const BODY = Buffer.alloc(100, 'x')
const RESPONSE_HEADERS = ['content-type', 'text/plain', 'server', 'bench', 'x-request-id', '0af7651916cd43dd']
const REQUEST_HEADERS: HeaderList = [
  'user-agent',
  'bench/1.0',
  'accept',
  '*/*',
  'accept-encoding',
  'gzip, br',
  'x-request-id',
  '0af7651916cd43dd8448eb211c80319c',
  'traceparent',
  '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
]

// Servers

class Answering implements ServerConnectionHandler, RequestSink {
  onRequest(stream: ServerStream): void {
    stream.sink = this
    stream.respond({ status: 200, headers: RESPONSE_HEADERS, bodyLength: BODY.length }, false)
    stream.write(BODY)
    stream.end()
  }
  onRefused(): void {}
  onClose(reason: string, detail: string): void {
    if (process.env['BENCH_DEBUG'] !== undefined) process.stderr.write(`closed: ${reason} ${detail}\n`)
  }
  onRequestData(): void {}
  onRequestEnd(): void {}
  onRequestReset(): void {}
  onResponseDrain(): void {}
}

function makeServer(kind: Kind): Server {
  const timers = new TimerWheel(systemClock)
  const handler = new Answering()
  const headers = Object.fromEntries(
    RESPONSE_HEADERS.flatMap((name, index) => (index % 2 === 0 ? [[name, RESPONSE_HEADERS[index + 1] ?? '']] : [])),
  )
  switch (kind) {
    case 'h1 isthmus':
      return createTcpServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
        // eslint-disable-next-line no-new -- the connection lives as long as its socket
        new H1ServerConnection(socket, handler, { limits: H1_LIMITS, timers, scheme: 'http' })
      })
    case 'h2 isthmus':
      return createTcpServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
        // eslint-disable-next-line no-new -- the connection lives as long as its socket
        new H2ServerConnection(socket, handler, {
          limits: H2_LIMITS,
          budgets: H2_BUDGETS,
          timers,
          extendedConnect: true,
        })
      })
    case 'h1 node:http':
      return createHttpServer((_request, response) => {
        response.writeHead(200, { ...headers, 'content-length': BODY.length })
        response.end(BODY)
      })
    case 'h2 node:http2': {
      const server = createHttp2Server({ settings: { maxConcurrentStreams: 1_000 } })
      server.on('stream', (stream) => {
        stream.respond({ ':status': 200, ...headers, 'content-length': BODY.length })
        stream.end(BODY)
      })
      return server
    }
    default:
      throw new Error(`unknown kind ${String(kind)}`)
  }
}

async function serve(kind: Kind): Promise<void> {
  const server = makeServer(kind).listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send?.({ port: (server.address() as AddressInfo).port })
  process.on('disconnect', () => process.exit(0))
  process.on('message', (message) => {
    if (message === 'usage') process.send?.({ usage: process.cpuUsage() })
    else process.exit(0)
  })
}

// Load

interface Load {
  done: number
  stop: boolean
}

async function loadH1(port: number, connections: number, load: Load): Promise<() => void> {
  const lines = REQUEST_HEADERS.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('')
  const request = Buffer.from(`GET /api/items?id=42 HTTP/1.1\r\nhost: shop.test\r\n${lines}\r\n`)
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      // Every answer ends in the body's hundred bytes, whatever its head looks like.
      socket.on('data', (chunk: Buffer) => {
        if (chunk[chunk.length - 1] !== 0x78) return
        load.done++
        if (!load.stop) socket.write(request)
      })
      socket.write(request)
      return socket
    }),
  )
  return () => {
    for (const socket of sockets) socket.destroy()
  }
}

class LoadedStream implements ResponseSink {
  readonly #load: Load
  readonly #again: () => void

  constructor(load: Load, again: () => void) {
    this.#load = load
    this.#again = again
  }
  onInformational(): void {}
  onResponse(_head: ResponseHead): void {}
  onResponseData(): void {}
  onResponseEnd(): void {
    this.#load.done++
    if (!this.#load.stop) this.#again()
  }
  onResponseReset(reason: string): void {
    if (!this.#load.stop) process.stderr.write(`a stream was reset: ${reason}\n`)
  }
  onRequestDrain(): void {}
}

async function loadH2(port: number, connections: number, load: Load): Promise<() => void> {
  const timers = new TimerWheel(systemClock)
  const head: RequestHead = {
    method: 'GET',
    scheme: 'http',
    authority: 'shop.test',
    path: '/api/items?id=42',
    protocol: '',
    headers: REQUEST_HEADERS,
    bodyLength: 0,
  }
  const nothing = {
    onCapacity: () => {},
    onIdle: () => {},
    onDraining: () => {},
    onClose: () => {},
  }
  const clients = await Promise.all(
    Array.from({ length: Math.max(1, connections / 32) }, async () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      await once(socket, 'connect')
      const client = new H2ClientConnection(socket, nothing, { limits: H2_LIMITS, budgets: H2_BUDGETS, timers })
      for (let index = 0; index < 32; index++) {
        const again = (): void => {
          setImmediate(() => {
            if (!load.stop) client.request(head, true, sink)
          })
        }
        const sink = new LoadedStream(load, again)
        client.request(head, true, sink)
      }
      return client
    }),
  )
  return () => {
    for (const client of clients) client.destroy('local')
  }
}

async function usage(child: ChildProcess): Promise<number> {
  child.send('usage')
  const [message] = (await once(child, 'message')) as [{ usage: NodeJS.CpuUsage }]
  return message.usage.user + message.usage.system
}

async function measure(kind: Kind, seconds: number): Promise<{ cpuUs: number; rps: number }> {
  const child = fork(import.meta.filename, ['--serve', kind], {
    execArgv: (process.env['BENCH_NODE_ARGS'] ?? '').split(' ').filter((argument) => argument !== ''),
  })
  const [started] = (await once(child, 'message')) as [{ port: number }]
  const load: Load = { done: 0, stop: false }
  const close = await (kind.startsWith('h1') ? loadH1 : loadH2)(started.port, 64, load)
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  await wait(1_000) // the compilers settle
  const [cpuBefore, doneBefore] = [await usage(child), load.done]
  await wait(seconds * 1_000)
  const [cpuAfter, doneAfter] = [await usage(child), load.done]
  load.stop = true
  close()
  child.send('end')
  await once(child, 'exit')
  const done = doneAfter - doneBefore
  return { cpuUs: (cpuAfter - cpuBefore) / done, rps: done / seconds }
}

const serveAt = process.argv.indexOf('--serve')
if (serveAt === -1) {
  const [seconds, rounds] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 3)]
  const results = new Map<Kind, { cpuUs: number; rps: number }[]>(KINDS.map((kind) => [kind, []]))
  for (let round = 0; round < rounds; round++)
    for (const kind of KINDS) results.get(kind)?.push(await measure(kind, seconds))
  for (const [kind, runs] of results) {
    const sorted = runs.map((run) => run.cpuUs).sort((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0
    const rps = Math.max(...runs.map((run) => run.rps))
    process.stdout.write(
      `${kind.padEnd(14)} ${median.toFixed(1)} µs/request (${sorted.map((us) => us.toFixed(1)).join(' ')}), up to ${rps.toFixed(0)}/s\n`,
    )
  }
} else {
  await serve(process.argv[serveAt + 1] as Kind)
}
