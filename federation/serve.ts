/** The controller's two plain HTTP ports on POD_IP: metrics for Prometheus (15014) and readiness (15021). */
import { createServer, type Server } from 'node:http'
import type { Registry } from '../src/runtime/metrics.ts'
import type { Readiness } from '../src/runtime/readiness.ts'

const HEADERS_MS = 5_000
const CONNECTIONS_MAX = 64

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

export function metricsServer(registry: Registry): Server {
  return serving('/metrics', async () => ({
    status: 200,
    type: registry.contentType,
    body: await registry.metrics(),
  }))
}

/** 503 names what is still awaited. */
export function readinessServer(readiness: Readiness): Server {
  return serving('/healthz/ready', () =>
    Promise.resolve({
      status: readiness.ready ? 200 : 503,
      type: 'text/plain',
      body: readiness.ready ? 'ready\n' : `awaiting ${readiness.awaited.join(', ')}\n`,
    }),
  )
}

function serving(path: string, answer: () => Promise<Answer>): Server {
  const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS }, (request, response) => {
    if (request.url?.split('?')[0] !== path || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end()
      return
    }
    answer().then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.writeHead(500).end(),
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  return server
}
