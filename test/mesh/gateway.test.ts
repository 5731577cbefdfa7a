/** Istio's Gateway and the VirtualServices bound to it: what clients outside the mesh get from an ingress gateway. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askEdge } from './edge-client.ts'
import { MeshWorld } from './world.ts'

const mesh = new MeshWorld()
let ip = ''
afterAll(() => mesh.close())

const GATEWAY = `
apiVersion: v1
kind: Service
metadata: { name: edge, namespace: shop }
spec:
  selector: { app: edge }
  ports:
    - { name: http2, port: 80, targetPort: 8080 }
    - { name: http-other, port: 81, targetPort: 8081 }
    - { name: tcp, port: 9000, targetPort: 9000 }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web, namespace: shop }
spec:
  selector: { app: edge }
  servers:
    - port: { number: 80, name: http, protocol: HTTP }
      hosts: ['*.example.com', 'other-ns/only.example.org']
    - port: { number: 81, name: redirect, protocol: HTTP }
      hosts: ['*']
      tls: { httpsRedirect: true }
    - port: { number: 9000, name: bytes, protocol: TCP }
      hosts: ['*']
`

const virtualService = (name: string, spec: string, namespace = 'shop'): string => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`

beforeAll(async () => {
  await mesh.pod('reviews')
  await mesh.pod('plain', { sidecar: false })
  await mesh.pod('greeter', { bytes: (server) => server.on('connection', (socket) => socket.end('hello')) })
  mesh.service('reviews')
  mesh.service('plain')
  mesh.service('greeter', { portName: 'tcp', port: 9000 })
  ip = mesh.gateway('edge').ip
  await mesh.apply(
    GATEWAY +
      virtualService(
        'shop',
        `
  hosts: [shop.example.com, 'elsewhere.example.net']
  gateways: [web]
  http:
    - { match: [{ uri: { prefix: /plain } }], route: [{ destination: { host: plain } }], rewrite: { uri: / } }
    - { match: [{ uri: { prefix: /sidecars }, gateways: [mesh] }], directResponse: { status: 418 } }
    - { match: [{ uri: { prefix: /port }, port: 81 }], directResponse: { status: 418 } }
    - { match: [{ uri: { prefix: /here }, gateways: [web], port: 80 }], directResponse: { status: 202 } }
    - { route: [{ destination: { host: reviews } }] }`,
      ) +
      virtualService(
        'more',
        `
  hosts: ['*.example.com']
  gateways: [shop/web]
  http: [{ match: [{ uri: { exact: /more } }], directResponse: { status: 203 } }]`,
        'other',
      ) +
      virtualService(
        'open',
        `
  hosts: [merged.example.com]
  gateways: [web]
  http: [{ directResponse: { status: 200, body: { string: open } } }]`,
      ) +
      virtualService(
        'special',
        `
  hosts: [merged.example.com]
  gateways: [web]
  http: [{ match: [{ uri: { prefix: /special } }], directResponse: { status: 201 } }]`,
      ) +
      virtualService(
        'only',
        `
  hosts: [only.example.org]
  gateways: [web]
  http: [{ directResponse: { status: 200 } }]`,
      ) +
      virtualService(
        'sidecars',
        `
  hosts: [sidecars.example.com]
  http: [{ directResponse: { status: 200 } }]`,
      ) +
      virtualService(
        'bytes',
        `
  hosts: ['*']
  gateways: [web]
  tcp: [{ match: [{ port: 9000 }], route: [{ destination: { host: greeter } }] }]`,
      ),
  )
})

const get = (url: string, headers: Record<string, string> = {}) => askEdge(ip, 8080, url, { headers })

describe('a VirtualService bound to a gateway', () => {
  it('leads to a service of the mesh, over mTLS', async () => {
    const { status, body } = await get('http://shop.example.com/')
    expect([status, body]).toEqual([200, 'reviews'])
    const line = mesh.recordsOf('edge').at(-1)
    expect(line).toMatchObject({ reporter: 'source', transport: 'mtls', status: 200 })
  })

  it('leads to a service without sidecars, and rewrites', async () => {
    expect(await get('http://shop.example.com/plain/x')).toMatchObject({ status: 200, body: 'plain' })
  })

  it('matches by gateway and by the port of the server', async () => {
    expect(await get('http://shop.example.com/sidecars')).toMatchObject({ status: 200, body: 'reviews' })
    expect(await get('http://shop.example.com/port')).toMatchObject({ status: 200, body: 'reviews' })
    expect(await get('http://shop.example.com/here')).toMatchObject({ status: 202 })
  })

  it('is joined with others for its host, and what takes everything comes last', async () => {
    expect(await get('http://merged.example.com/special')).toMatchObject({ status: 201 })
    expect(await get('http://merged.example.com/else')).toMatchObject({ status: 200, body: 'open' })
  })

  it('may be of another namespace, where the server does not say which', async () => {
    expect(await get('http://any.example.com/more')).toMatchObject({ status: 203 })
    expect(await get('http://only.example.org/')).toMatchObject({ status: 404 })
  })

  it.each([
    ['a host that the server does not have', 'http://elsewhere.example.net/'],
    ['a rule of sidecars', 'http://sidecars.example.com/'],
    ['an unknown host', 'http://example.net/'],
  ])('is not asked: %s', async (_, url) => expect(await get(url)).toMatchObject({ status: 404 }))

  it('is found whatever port the client wrote', async () => {
    expect(await get('http://shop.example.com:8080/here')).toMatchObject({ status: 202 })
  })

  it('leads bytes', async () => {
    expect(await mesh.bytesOf(ip, 9000)).toBe('hello')
  })
})

describe('a server of a gateway', () => {
  it('sends to HTTPS', async () => {
    const answer = await askEdge(ip, 8081, 'http://shop.example.com/a?b=c')
    expect(answer).toMatchObject({ status: 301, headers: { location: 'https://shop.example.com/a?b=c' } })
  })
})

describe('headers at the edge', () => {
  const SPOOFED = {
    'isthmus-peer': 'cluster=west',
    'x-forwarded-client-cert': 'URI=spiffe://a/b',
    'x-envoy-peer-metadata': 'x',
    'x-envoy-retry-on': '5xx',
    'x-forwarded-for': '1.2.3.4',
  }

  it('of a client are not believed', async () => {
    await get('http://shop.example.com/', SPOOFED)
    const headers = mesh.seenBy('reviews').at(-1)?.headers ?? {}
    expect(headers['x-forwarded-client-cert']).toMatch(/URI=spiffe:\/\/east\.demo\.mesh\/ns\/shop\/sa\/edge/)
    expect(headers).not.toHaveProperty('isthmus-peer')
    expect(headers).not.toHaveProperty('x-envoy-peer-metadata')
    expect(headers).not.toHaveProperty('x-envoy-retry-on')
    expect(headers['x-forwarded-for']).toMatch(/^1\.2\.3\.4,/)
    expect(headers['x-envoy-external-address']).toMatch(/^127\./)
    expect(headers['x-forwarded-proto']).toBe('http')
  })

  it('of the mesh are not shown', async () => {
    const { headers } = await get('http://shop.example.com/')
    expect(Object.keys(headers).filter((name) => name.startsWith('isthmus-'))).toEqual([])
    expect(headers['server']).toBe('isthmus')
  })
})
