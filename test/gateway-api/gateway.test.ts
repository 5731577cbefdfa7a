/** Gateways of the Gateway API by what clients outside the mesh get from them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect } from 'node:net'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { clientHello } from '../mesh/client-hello.ts'
import { askEdge } from '../mesh/edge-client.ts'
import { MeshWorld } from '../mesh/world.ts'

const mesh = new MeshWorld()
let ip = ''
afterAll(() => mesh.close())

const object = (kind: string, name: string, spec: object, namespace = 'shop'): string =>
  `---\n${JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind,
    metadata: { name, ...(kind !== 'GatewayClass' && { namespace }) },
    spec,
  })}\n`

const route = (name: string, spec: object, kind = 'HTTPRoute', namespace = 'shop'): string =>
  object(kind, name, { parentRefs: [{ name: 'web', namespace: 'shop' }], ...spec }, namespace)

const to = (name: string, more: object = {}): object => ({ backendRefs: [{ name, port: 80, ...more }] })

const GATEWAY =
  object('GatewayClass', 'isthmus', { controllerName: 'isthmus.dev/gateway-controller' }) +
  object('Gateway', 'web', {
    gatewayClassName: 'isthmus',
    listeners: [
      { name: 'example', port: 80, protocol: 'HTTP', hostname: '*.example.com' },
      {
        name: 'open',
        port: 81,
        protocol: 'HTTP',
        allowedRoutes: { namespaces: { from: 'Selector', selector: { matchLabels: { team: 'a' } } } },
      },
      { name: 'bytes', port: 9_000, protocol: 'TCP' },
      { name: 'pass', port: 9_443, protocol: 'TLS', hostname: '*.example.com', tls: { mode: 'Passthrough' } },
      { name: 'calls-only', port: 82, protocol: 'HTTP', allowedRoutes: { kinds: [{ kind: 'GRPCRoute' }] } },
    ],
  }) +
  `---
apiVersion: v1
kind: Service
metadata: { name: edge, namespace: shop }
spec:
  selector: { app: edge }
  ports:
    - { name: http-80, port: 80, targetPort: 8080 }
    - { name: http-81, port: 81, targetPort: 8081 }
    - { name: http-82, port: 82, targetPort: 8082 }
    - { name: tcp, port: 9000, targetPort: 9000 }
    - { name: tls, port: 9443, targetPort: 9443 }
---
apiVersion: v1
kind: Namespace
metadata: { name: other, labels: { team: a } }
`

beforeAll(async () => {
  await mesh.pod('reviews')
  await mesh.pod('details', { sidecar: false })
  await mesh.pod('greeter', { bytes: (server) => server.on('connection', (socket) => socket.end('hello')) })
  mesh.service('reviews')
  mesh.service('details')
  mesh.service('greeter', { portName: 'tcp', port: 9_000 })
  ip = mesh.gateway('edge', { labels: { 'gateway.networking.k8s.io/gateway-name': 'web' } }).ip
  await mesh.apply(GATEWAY)
})

const body = async (url: string, port = 8_080): Promise<string | number> => {
  const { status, body: said } = await askEdge(ip, port, url)
  return status === 200 ? said : status
}

describe('host names', () => {
  it('are what listener and route have in common, the more specific first', async () => {
    await mesh.apply(
      route('wild', { hostnames: ['*.example.com'], rules: [to('details')] }) +
        route('exact', {
          hostnames: ['a.example.com', 'a.example.org'],
          rules: [{ matches: [{ path: { value: '/reviews' } }], ...to('reviews') }],
        }),
    )
    expect(await body('http://b.example.com/')).toBe('details')
    expect(await body('http://b.c.example.com/')).toBe('details')
    expect(await body('http://a.example.com/reviews')).toBe('reviews')
    // What the more specific one does not take is the other's.
    expect(await body('http://a.example.com/x')).toBe('details')
    expect(await body('http://a.example.org/reviews')).toBe(404)
    expect(await body('http://example.com/')).toBe(404)
  })

  it('of a route without any are the listener’s', async () => {
    await mesh.remove('HTTPRoute/wild')
    await mesh.remove('HTTPRoute/exact')
    await mesh.apply(route('any', { rules: [to('reviews')] }))
    expect(await body('http://x.example.com/')).toBe('reviews')
    expect(await body('http://x.example.org/')).toBe(404)
  })
})

describe('a listener', () => {
  it('lets in the namespaces and kinds that it says, and sections are listeners', async () => {
    await mesh.apply(
      route(
        'theirs',
        {
          parentRefs: [{ name: 'web', namespace: 'shop', sectionName: 'open' }],
          rules: [to('reviews', { namespace: 'shop' })],
        },
        'HTTPRoute',
        'other',
      ),
    )
    // Nobody of its own namespace, which has no such label.
    expect(await body('http://x.example.com/', 8_081)).toBe(500)
    await mesh.apply(
      object('ReferenceGrant', 'reviews', {
        from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'other' }],
        to: [{ group: '', kind: 'Service', name: 'reviews' }],
      }),
    )
    expect(await body('http://x.example.com/', 8_081)).toBe('reviews')
    expect(await body('http://x.example.com/', 8_082)).toBe(404)
  })

  it('carries bytes and TLS as they are', async () => {
    const backendRefs = [{ name: 'greeter', port: 9_000 }]
    await mesh.apply(
      route('bytes', { rules: [{ backendRefs }] }, 'TCPRoute') +
        route('names', { hostnames: ['a.example.com', 'b.example.org'], rules: [{ backendRefs }] }, 'TLSRoute'),
    )
    const said = async (port: number, bytes: Buffer): Promise<string> => {
      const socket = connect({ host: ip, port, allowHalfOpen: true })
      socket.on('error', () => {})
      socket.end(bytes)
      const found = await Promise.race([text(socket), once(socket, 'error').then(() => 'reset')])
      return found === '' ? 'closed' : found
    }
    expect(await said(9_000, Buffer.from('x'))).toBe('hello')
    expect(await said(9_443, await clientHello('a.example.com'))).toBe('hello')
    expect(await said(9_443, await clientHello('c.example.com'))).not.toContain('hello')
    expect(await said(9_443, await clientHello('b.example.org'))).not.toContain('hello')
  })
})

describe('rules', () => {
  it('are those of the mesh: redirects know the port that was called', async () => {
    const filters = [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https' } }]
    await mesh.apply(route('any', { rules: [{ matches: [{ path: { value: '/secure' } }], filters }, to('gone')] }))
    const { status, headers } = await askEdge(ip, 8_080, 'http://x.example.com/secure?a=b')
    expect([status, headers.location]).toEqual([302, 'https://x.example.com/secure?a=b'])
    expect(await body('http://x.example.com/')).toBe(500)
  })
})
