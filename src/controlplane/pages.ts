/** What probes, Prometheus and the CLI may read: readiness (15021), metrics and proxy states (15014). GET only. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

export interface Page {
  readonly type: string
  readonly status?: number
  readonly body: string
}

export type Pages = Readonly<Record<string, () => Page | Promise<Page>>>

export const TEXT = 'text/plain; charset=utf-8'
export const JSON_TYPE = 'application/json'
const HEADERS_TIMEOUT_MS = 5_000
const CONNECTIONS_MAX = 64

/** Resolves once the port is open; rejects when it cannot be had. */
export function servePages(host: string, port: number, pages: Pages): Promise<Server> {
  const options = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: HEADERS_TIMEOUT_MS, maxHeaderSize: 8_192 }
  const server = createServer(options, (request, response) => {
    answer(request, pages).then(
      (page) => send(response, page),
      () => send(response, { type: TEXT, status: 500, body: 'this page failed\n' }),
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

async function answer(request: IncomingMessage, pages: Pages): Promise<Page> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
  if (request.method !== 'GET') return { type: TEXT, status: 405, body: 'only GET\n' }
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined
  if (page !== undefined) return page()
  return { type: TEXT, status: 404, body: `${path} is not here; there are: ${Object.keys(pages).join(' ')}\n` }
}

function send(response: ServerResponse, { type, status = 200, body }: Page): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}
