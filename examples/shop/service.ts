/**
 * One service of the shop. Settings: `PORT`, `HOST` (address to bind), `POD_NAME`, and `NEXT_URL` for a service that
 * calls another one. It answers 200 with `x-shop-pods: <own pod>,<pod of the next service>…`, or 502 when its own call failed.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { call } from './call.ts'

const NEXT_TIMEOUT_MS = 8_000

export function runService(): void {
  const pod = process.env['POD_NAME'] ?? 'unknown'
  const next = process.env['NEXT_URL']
  const server = createServer((request, response) => {
    if (request.url === '/healthz') return answer(response, 200, [pod], 'ok')
    return next === undefined ? answer(response, 200, [pod], 'in stock') : forward(request, response, pod, next)
  })
  server.keepAliveTimeout = 65_000
  server.listen(Number(process.env['PORT'] ?? 8080), process.env['HOST'] ?? process.env['POD_IP'] ?? '0.0.0.0')
  process.on('SIGTERM', () => {
    server.close(() => process.exit(0))
    server.closeIdleConnections()
  })
}

function forward(request: IncomingMessage, response: ServerResponse, pod: string, next: string): void {
  call({ url: next, timeoutMs: NEXT_TIMEOUT_MS, headers: traceHeaders(request) }, (result) => {
    if (result.status === 200) answer(response, 200, [pod, ...result.pods], 'ordered')
    else answer(response, 502, [pod, ...result.pods], `${next}: ${result.error ?? result.status}`)
  })
}

/** A mesh joins spans into one trace only if the application hands the context on. */
function traceHeaders(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of ['traceparent', 'tracestate', 'x-request-id', 'x-shop-secret']) {
    const value = request.headers[name]
    if (typeof value === 'string') headers[name] = value
  }
  return headers
}

function answer(response: ServerResponse, status: number, pods: readonly string[], text: string): void {
  const body = `${JSON.stringify({ pods, text })}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-shop-pods': pods.join(','),
  })
  response.end(body)
}
