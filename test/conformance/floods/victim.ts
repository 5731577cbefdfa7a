/** A process of its own with the proxy under attack and its origin: prints `{"plain","capturedPort"}`, answers `usage`. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { startPlainProxy } from '../../harness/plain-proxy.ts'

const origin = createServer((request, response) => {
  request.resume()
  response.end('ok')
}).listen(0, '127.0.0.1')
origin.keepAliveTimeout = 60_000
await once(origin, 'listening')
const originPort = (origin.address() as AddressInfo).port
const regexes = ['/a(b|c)*d.*(e|f)+g', '.*[0-9]{1,64}.*[a-z]{1,64}.*x', '(/[^/]+)+/end']
const routes = [
  ...regexes.map((regex) => ({ match: { kind: 'regex' as const, regex }, cluster: 'origin', timeoutMs: 15_000 })),
  {
    match: {
      kind: 'prefix' as const,
      prefix: '/',
      headers: [{ name: 'x-regex', is: { kind: 'regex' as const, value: '(a|aa|aaa)+b.*c' } }],
      query: [{ name: 'q', is: { kind: 'regex' as const, value: '.*=.*=.*' } }],
    },
    cluster: 'origin',
    timeoutMs: 15_000,
  },
  { match: { kind: 'prefix' as const, prefix: '/' }, cluster: 'origin', timeoutMs: 15_000 },
]
const [plain, captured] = await Promise.all([
  startPlainProxy({ way: 'forward', originPort, routes }),
  startPlainProxy({ way: 'captured-outbound', originPort, routes }),
])
process.stdout.write(`${JSON.stringify({ plainPort: plain.port, http2Port: captured.port })}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'gc') (globalThis as { gc?: () => void }).gc?.()
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  process.stdout.write(
    `${JSON.stringify({ bytes: heapUsed + external + arrayBuffers, rss, cpuMs: (user + system) / 1_000 })}\n`,
  )
}
process.exit(0)
