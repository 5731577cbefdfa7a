/**
 * Plain HTTP pages that probes, Prometheus, people and the CLI may read: readiness, metrics, states. GET and HEAD only,
 * never on the data path, so node:http serves them.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { listen } from './listen.ts'

export interface Page {
  readonly type: string
  readonly status?: number
  readonly body: string
}

export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>

/** What is there now, where it changes while the port is open. */
export type PageSource = Pages | (() => Pages)

export const TEXT = 'text/plain; charset=utf-8'
export const JSON_TYPE = 'application/json'
export const EXPOSITION = 'text/plain; version=0.0.4; charset=utf-8'
const HEADERS_TIMEOUT_MS = 5_000
const HEADER_BYTES_MAX = 8_192
const CONNECTIONS_MAX = 64

/** Resolves once the port is open; rejects when it cannot be had. */
export async function servePages(host: string, port: number, pages: PageSource): Promise<Server> {
  const options = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: HEADERS_TIMEOUT_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
  }
  const server = createServer(options, (request, response) => {
    answer(request, typeof pages === 'function' ? pages() : pages).then(
      (page) => send(request, response, page),
      () => send(request, response, { type: TEXT, status: 500, body: 'this page failed\n' }),
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  await listen(server, { host, port })
  return server
}

/** `/healthz/ready` and `/ready`: 503 names what is still awaited. */
export function readinessPages(awaited: () => readonly string[]): Pages {
  const ready = (): Page => {
    const missing = awaited()
    if (missing.length === 0) return { type: TEXT, body: 'ready\n' }
    return { type: TEXT, status: 503, body: `awaiting ${missing.join(', ')}\n` }
  }
  return { '/healthz/ready': ready, '/ready': ready }
}

async function answer(request: IncomingMessage, pages: Pages): Promise<Page> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  if (request.method !== 'GET' && request.method !== 'HEAD') return { type: TEXT, status: 405, body: 'only GET\n' }
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page !== undefined) return page()
  return { type: TEXT, status: 404, body: `${path} is not here; there are: ${Object.keys(pages).join(' ')}\n` }
}

function send(request: IncomingMessage, response: ServerResponse, { type, status = 200, body }: Page): void {
  if (status === 405) response.setHeader('allow', 'GET, HEAD')
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.end(request.method === 'HEAD' ? undefined : body)
}
