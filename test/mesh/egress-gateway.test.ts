/** Egress through a gateway, as Istio's documents write it: where only what is registered may be called. */
import { once } from 'node:events'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freshIp } from '../../gateways/testing/world.ts'
import { serverCertificate } from '../harness/certificate.ts'
import { askEdge } from './edge-client.ts'
import { MeshWorld } from './world.ts'

const mesh = new MeshWorld()
afterAll(() => mesh.close())
const HOST = 'api.example.com'
const certificate = serverCertificate(HOST)
const base64 = (value: string): string => Buffer.from(value).toString('base64')
/** What the site outside saw: who connected, and whose header. */
const seen: { from: string | undefined; xfcc: unknown }[] = []

const RULES = (outside: string, secure: string): string => `
apiVersion: v1
kind: Service
metadata: { name: istio-egressgateway, namespace: istio-system }
spec:
  selector: { istio: egressgateway }
  ports:
    - { name: http2, port: 80, targetPort: 8080 }
    - { name: https, port: 443, targetPort: 8443 }
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: shop }
spec:
  egress: [{ hosts: ['./*', 'istio-system/*'] }]
  outboundTrafficPolicy: { mode: REGISTRY_ONLY }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, namespace: shop }
spec:
  hosts: [${HOST}]
  resolution: STATIC
  ports:
    - { number: 80, name: http, protocol: HTTP }
    - { number: 443, name: tls, protocol: TLS }
  endpoints: [{ address: ${outside}, ports: { http: 8080 } }, { address: ${secure}, ports: { tls: 8443 } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: egress, namespace: shop }
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets: [{ name: api }]
---
`
const gateway = (servers: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: egress, namespace: shop }
spec: { selector: { istio: egressgateway }, servers: [${servers}] }
---
`
const virtualService = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api, namespace: shop }
spec:
  hosts: [${HOST}]
  gateways: [egress, mesh]
${spec}
---
`
const rule = (tls: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: api, namespace: istio-system }
spec: { host: ${HOST}, trafficPolicy: { portLevelSettings: [{ port: { number: 443 }, tls: ${tls} }] } }
---
`
const HTTP_BY = (port: number): string =>
  virtualService(`
  http:
    - match: [{ gateways: [mesh], port: 80 }]
      route: [{ destination: { host: istio-egressgateway.istio-system.svc.cluster.local, subset: api, port: { number: 80 } } }]
    - match: [{ gateways: [egress], port: 80 }]
      route: [{ destination: { host: ${HOST}, port: { number: ${port} } } }]`)

beforeAll(async () => {
  await mesh.pod('front', { captured: true })
  const outside = await mesh.pod('outside', { sidecar: false })
  const secure = freshIp()
  const server = createServer({ cert: certificate.cert, key: certificate.key }, (request, response) => {
    seen.push({ from: request.socket.remoteAddress, xfcc: request.headers['x-forwarded-client-cert'] })
    response.end('secure')
  })
  server.listen(8443, secure)
  await once(server, 'listening')
  mesh.world.onClose(() => void server.close())
  mesh.gateway('egress', { namespace: 'istio-system', labels: { istio: 'egressgateway' }, role: 'egress' })
  await mesh.apply(RULES(outside.ip, secure))
})

const gatewayIp = (): string => mesh.addressOf('egress')

describe('plain HTTP', () => {
  it('leaves by the gateway, over mTLS up to it', async () => {
    const server = '{ port: { number: 80, name: http, protocol: HTTP }, hosts: [api.example.com] }'
    await mesh.apply(gateway(server) + HTTP_BY(80))
    expect(await mesh.bodies('front', `http://${HOST}/`, 2)).toEqual({ outside: 2 })
    const [request] = mesh.seenBy('outside').slice(-1)
    expect(request?.headers.host).toBe(HOST)
    expect(mesh.recordsOf('front').at(-1)).toMatchObject({ transport: 'mtls', upstream: `${gatewayIp()}:15008` })
    expect(mesh.recordsOf('egress').at(-1)).toMatchObject({ authority: HOST, transport: 'plain' })
  })

  it('to hosts that nothing names goes nowhere', async () => {
    expect(await mesh.bodies('front', 'http://elsewhere.example.net/', 1)).toEqual({ 502: 1 })
  })
})

describe('TLS that the gateway begins', () => {
  it('for requests that came to it over the mesh alone (ISTIO_MUTUAL)', async () => {
    await mesh.apply(
      `
apiVersion: v1
kind: Secret
metadata: { name: outside, namespace: istio-system }
type: Opaque
data: { cacert: ${base64(certificate.ca)} }
---
` +
        rule('{ mode: SIMPLE, credentialName: outside }') +
        gateway(
          '{ port: { number: 80, name: originate, protocol: HTTPS }, hosts: [api.example.com], tls: { mode: ISTIO_MUTUAL } }',
        ) +
        HTTP_BY(443),
    )
    expect(await mesh.bodies('front', `http://${HOST}/`, 2)).toEqual({ secure: 2 })
    expect(seen.at(-1)?.from).toBe(gatewayIp())
  })

  it('not for those who come without the mesh', async () => {
    await expect(askEdge(gatewayIp(), 8080, `http://${HOST}/`)).rejects.toThrow()
  })
})

describe('TLS of the application', () => {
  it('leaves by the gateway, by the name in its ClientHello', async () => {
    const destination = `istio-egressgateway.istio-system.svc.cluster.local`
    await mesh.apply(
      rule('{ mode: DISABLE }') +
        gateway(
          '{ port: { number: 443, name: tls, protocol: TLS }, hosts: [api.example.com], tls: { mode: PASSTHROUGH } }',
        ) +
        virtualService(`
  tls:
    - match: [{ gateways: [mesh], port: 443, sniHosts: [${HOST}] }]
      route: [{ destination: { host: ${destination}, subset: api, port: { number: 443 } } }]
    - match: [{ gateways: [egress], port: 443, sniHosts: [${HOST}] }]
      route: [{ destination: { host: ${HOST}, port: { number: 443 } } }]`),
    )
    const before = seen.length
    expect(await throughSidecar()).toMatch(/secure$/)
    expect(seen[before]?.from).toBe(gatewayIp())
  })
})

/** An application that knows nothing of proxies; the kernel leads its connection to the sidecar. */
function throughSidecar(): Promise<string> {
  const socket = mesh.dial('front', { address: '203.0.113.9', port: 443 })
  const tls = connectTls({ socket, servername: HOST, ca: certificate.ca })
  tls.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`)
  return text(tls)
}
