/**
 * Plain HTTP pages that probes, Prometheus, people and the CLI may read: readiness, metrics, states; on private ports
 * also changes, which are POST only. Never on the data path, so node:http serves them.
 */
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import { listen } from './listen.ts'
import { createServer } from './http.ts'

export interface Page {
  readonly type: string
  readonly status?: number
  /** With 405. */
  readonly allow?: string
  readonly body: string
}

export interface PageRequest {
  readonly query: URLSearchParams
  /** Absent where no HTTP request stands behind the question. */
  readonly headers?: IncomingHttpHeaders
}

export type PageHandler = (request: PageRequest) => Page | Promise<Page>

/** `post`: it changes something, and is served to POST alone. */
export type Pages = Readonly<Record<string, PageHandler | { readonly post: PageHandler }>>

export interface PageOptions {
  /** Who may ask, by the name they asked for: a browser that was led here by DNS asks for its page's. */
  readonly guarded?: boolean
}

/** What is there now, where it changes while the port is open. */
export type PageSource = Pages | (() => Pages)

export const TEXT = 'text/plain; charset=utf-8'
export const JSON_TYPE = 'application/json'
export const EXPOSITION = 'text/plain; version=0.0.4; charset=utf-8'
const HEADERS_TIMEOUT_MS = 5_000
const HEADER_BYTES_MAX = 8_192
const CONNECTIONS_MAX = 64
export const PAGE_LIMITS = {
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: HEADERS_TIMEOUT_MS,
  maxHeaderSize: HEADER_BYTES_MAX,
} as const

/** Resolves once the port is open; rejects when it cannot be had. */
export async function servePages(
  host: string,
  port: number,
  pages: PageSource,
  page: PageOptions = {},
): Promise<Server> {
  const server = createServer(PAGE_LIMITS, pageListener(pages, page))
  server.maxConnections = CONNECTIONS_MAX
  await listen(server, { host, port })
  return server
}

/** For servers of other kinds than `servePages` makes. */
export function pageListener(
  pages: PageSource,
  page: PageOptions = {},
): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    answer(request, typeof pages === 'function' ? pages() : pages, page).then(
      (page) => send(request, response, page),
      () => send(request, response, { type: TEXT, status: 500, body: 'this page failed\n' }),
    )
  }
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

async function answer(request: IncomingMessage, pages: Pages, { guarded }: PageOptions): Promise<Page> {
  if (guarded === true && !isTrusted(request.headers)) {
    return { type: TEXT, status: 403, body: 'asked under a name that is not local, or by a page of another origin\n' }
  }
  const { method = 'GET', url = '/' } = request
  const question = url.indexOf('?')
  const path = question < 0 ? url : url.slice(0, question)
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  const reads = method === 'GET' || method === 'HEAD'
  if (page === undefined) {
    if (!reads && method !== 'POST') return notAllowed(method, 'GET')
    return { type: TEXT, status: 404, body: `${path} is not here; there are: ${Object.keys(pages).join(' ')}\n` }
  }
  const query = new URLSearchParams(question < 0 ? '' : url.slice(question + 1))
  if (typeof page === 'function') return reads ? page({ query, headers: request.headers }) : notAllowed(method, 'GET')
  return method === 'POST' ? page.post({ query, headers: request.headers }) : notAllowed(method, 'POST')
}

const notAllowed = (method: string, required: 'GET' | 'POST'): Page => ({
  type: TEXT,
  status: 405,
  allow: required === 'GET' ? 'GET, HEAD' : 'POST',
  body: `Method ${method} not allowed, ${required} required.\n`,
})

/** An address or localhost, with any port. */
const LOCAL_HOST = /^(localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]+)?$/i

/**
 * DNS rebinding leads a browser's page to a loopback port under the page's own name; what runs here asks by address.
 * A page of another origin announces itself with Origin, as do its POSTs.
 */
function isTrusted({ host, origin }: IncomingMessage['headers']): boolean {
  if (host === undefined || !LOCAL_HOST.test(host)) return false
  return origin === undefined || origin === `http://${host}`
}

function send(request: IncomingMessage, response: ServerResponse, { type, status = 200, allow, body }: Page): void {
  if (allow !== undefined) response.setHeader('allow', allow)
  response.setHeader('cache-control', 'no-cache, max-age=0')
  response.setHeader('x-content-type-options', 'nosniff')
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.end(request.method === 'HEAD' ? undefined : body)
}
