/** Facts of one imagined request, for tests of what is written about requests. */
import type { Metadata } from '../../../model/config.ts'
import type { StreamFacts } from '../../stream-facts.ts'

export const SOME_FACTS: StreamFacts = {
  connection: {
    id: 7,
    remoteAddress: '10.0.0.9:4000',
    directRemoteAddress: '[::1]:4001',
    localAddress: '127.0.0.1:18900',
    serverName: 'shop.example',
    chainName: 'ch1',
    tls: undefined,
  },
  request: {
    method: 'POST',
    scheme: 'http',
    authority: 'localhost:18900',
    path: '/up/x?q=1',
    protocol: '',
    headers: ['x-b', 'hello', 'x-tab', 'a\tb"\xc3\xa9', 'user-agent', 'curl'],
    bodyLength: 3,
  },
  response: ['x-up', 'v1'],
  trailers: ['t', 'end'],
  protocol: 'HTTP/1.1',
  startedAt: Date.UTC(2026, 10, 21, 14, 47, 29, 659),
  durationMs: 12.7,
  requestMs: 1.2,
  responseMs: 10.1,
  status: 200,
  flags: '-',
  details: 'via_upstream',
  bytesReceived: 3,
  bytesSent: 5,
  upstream: { cluster: 'up', address: '127.0.0.1:18999', localAddress: '127.0.0.1:5', attempts: 1, failure: '' },
  routeName: 'up',
  metadata: {
    get: (namespace, [first, ...more]) => {
      if (namespace !== 'foo' || more.length > 0) return undefined
      const all: Metadata = { bar: { baz: 1 }, text: 't' }
      return first === undefined ? all : all[first]
    },
  },
  traceId: '',
  host: { hostname: 'vm', now: () => 0 },
}
