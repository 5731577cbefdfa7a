/** HTTPS at an ingress gateway: certificates from Secrets of its namespace, by name and over SDS. */
import { Agent } from 'node:https'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serverCertificate } from '../harness/certificate.ts'
import { askHttp2, askSecure } from './edge-client.ts'
import { World } from '../../gateways/testing/world.ts'
import { MeshWorld } from './world.ts'

const mesh = new MeshWorld()
let ip = ''
afterAll(() => mesh.close())

const shop = serverCertificate('shop.example.com')
const wide = serverCertificate('*.example.com')

/** Certificates that clients may show, of two issuers. */
const clientOf = ({ mesh: issuers }: World): { cert: string; key: string; ca: string } => {
  const id = { trustDomain: 'east.demo.mesh', namespace: 'clients', serviceAccount: 'someone' }
  const { chain, keyPem } = issuers.cluster('east').workload(id)
  return { cert: chain.join(''), key: keyPem, ca: issuers.root.certificatePem }
}
const client = clientOf(mesh.world)
const stranger = clientOf(new World(['east']))

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secret = (name: string, data: Readonly<Record<string, string>>, more = ''): string => `
---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: ${more === '' ? 'shop' : more} }
type: ${'tls.crt' in data ? 'kubernetes.io/tls' : 'Opaque'}
data: ${JSON.stringify(Object.fromEntries(Object.entries(data).map(([key, text]) => [key, base64(text)])))}
`
const tlsSecret = (name: string, { cert, key }: { cert: string; key: string }, namespace = ''): string =>
  secret(name, { 'tls.crt': cert, 'tls.key': key }, namespace)

const RULES = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web, namespace: shop }
spec:
  selector: { app: edge }
  servers:
    - { port: { number: 8443, name: shop, protocol: HTTPS }, hosts: [shop.example.com], tls: { mode: SIMPLE, credentialName: shop } }
    - { port: { number: 8443, name: wide, protocol: HTTPS }, hosts: ['*.example.com'], tls: { mode: SIMPLE, credentialNames: [opaque], maxProtocolVersion: TLSV1_2 } }
    - { port: { number: 8443, name: mutual, protocol: HTTPS }, hosts: [mutual.example.com], tls: { mode: MUTUAL, credentialName: mutual } }
    - { port: { number: 8443, name: asks, protocol: HTTPS }, hosts: [asks.example.com], tls: { mode: OPTIONAL_MUTUAL, credentialName: mutual } }
    - { port: { number: 8443, name: named, protocol: HTTPS }, hosts: [named.example.com], tls: { mode: MUTUAL, credentialName: mutual, subjectAltNames: [other.example.com] } }
    - { port: { number: 8443, name: missing, protocol: HTTPS }, hosts: [missing.example.com], tls: { mode: SIMPLE, credentialName: missing } }
    - { port: { number: 8443, name: foreign, protocol: HTTPS }, hosts: [foreign.example.com], tls: { mode: SIMPLE, credentialName: foreign } }
    - { port: { number: 8443, name: broken, protocol: HTTPS }, hosts: [broken.example.com], tls: { mode: SIMPLE, credentialName: broken } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec:
  hosts: ['*.example.com']
  gateways: [web]
  http:
    - { match: [{ authority: { exact: mutual.example.com } }], route: [{ destination: { host: plain } }] }
    - { route: [{ destination: { host: reviews } }] }
`

beforeAll(async () => {
  await mesh.pod('reviews')
  await mesh.pod('plain', { sidecar: false })
  mesh.service('reviews')
  mesh.service('plain')
  ip = mesh.gateway('edge').ip
  await mesh.apply(RULES)
  await mesh.apply(
    tlsSecret('shop', shop) +
      secret('opaque', { cert: wide.cert, key: wide.key }) +
      tlsSecret('mutual', wide) +
      secret('mutual-cacert', { cacert: client.ca }) +
      tlsSecret('foreign', wide, 'elsewhere') +
      tlsSecret('broken', { cert: shop.cert, key: wide.key }),
  )
})

const get = (host: string, options: Partial<Parameters<typeof askSecure>[3]> = {}) =>
  askSecure(ip, 8443, `https://${host}/`, { ca: wide.ca, ...options })

describe('a server with a certificate', () => {
  it('is chosen by name, and leads into the mesh', async () => {
    expect(await get('shop.example.com', { ca: shop.ca })).toMatchObject({ status: 200, body: 'reviews' })
    expect(await get('any.example.com')).toMatchObject({ status: 200, body: 'reviews' })
    await expect(get('shop.example.com')).rejects.toThrow(/verif|self-signed|unable/)
    expect(mesh.seenBy('reviews').at(-1)?.headers['x-forwarded-proto']).toBe('https')
  })

  it('speaks HTTP/2 with those who offer it', async () => {
    expect(await askHttp2(ip, 8443, 'shop.example.com', shop.ca)).toMatchObject({ status: 200, body: 'reviews' })
  })

  it('keeps to its versions', async () => {
    const old = await get('any.example.com', { maxVersion: 'TLSv1.2' })
    expect(old.status).toBe(200)
  })

  it('does not answer for names of another server, whatever certificate the connection was made with', async () => {
    expect(await get('mutual.example.com', { serverName: 'any.example.com' })).toMatchObject({ status: 421 })
  })

  it.each(['missing.example.com', 'foreign.example.com', 'broken.example.com', 'unknown.example.net'])(
    'refuses without one: %s',
    async (host) => {
      await expect(get(host)).rejects.toThrow()
      expect(await get('any.example.com')).toMatchObject({ status: 200 })
    },
  )
})

describe('clients that show certificates', () => {
  const { cert, key } = client

  it('are let in where one is asked for, and told to the service', async () => {
    const spoofed = { 'x-forwarded-client-cert': 'URI=spiffe://a/b' }
    expect(await get('mutual.example.com', { cert, key, headers: spoofed })).toMatchObject({
      status: 200,
      body: 'plain',
    })
    expect(mesh.seenBy('plain').at(-1)?.headers['x-forwarded-client-cert']).toMatch(
      /^Hash=[0-9a-f]{64};Subject="[^"]*";URI=spiffe:\/\/east\.demo\.mesh\/ns\/clients\/sa\/someone$/,
    )
  })

  it.each(['mutual.example.com', 'named.example.com'])('are refused without one: %s', async (host) => {
    await expect(get(host)).rejects.toThrow()
  })

  it('are refused with one of somebody else', async () => {
    const { cert: other, key: otherKey } = stranger
    await expect(get('mutual.example.com', { cert: other, key: otherKey })).rejects.toThrow()
    await expect(get('asks.example.com', { cert: other, key: otherKey })).rejects.toThrow()
  })

  it('are refused by another name', async () => {
    await expect(get('named.example.com', { cert, key })).rejects.toThrow()
  })

  it('may come without where it is optional', async () => {
    expect(await get('asks.example.com')).toMatchObject({ status: 200 })
    expect(await get('asks.example.com', { cert, key })).toMatchObject({ status: 200 })
  })
})

describe('a Secret that is rotated', () => {
  it('serves new handshakes, and drops no connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    expect(await get('shop.example.com', { ca: shop.ca, agent })).toMatchObject({ status: 200 })
    const next = serverCertificate('shop.example.com')
    await mesh.apply(tlsSecret('shop', next))
    expect(await get('shop.example.com', { ca: next.ca })).toMatchObject({ status: 200 })
    // The old certificate would not be accepted any more: it is the same connection.
    expect(await get('shop.example.com', { ca: shop.ca, agent })).toMatchObject({ status: 200 })
    await expect(get('shop.example.com', { ca: shop.ca })).rejects.toThrow()
    agent.destroy()
  })

  it('that comes late is served', async () => {
    await mesh.apply(tlsSecret('missing', wide))
    expect(await get('missing.example.com')).toMatchObject({ status: 200 })
  })
})

describe('a key', () => {
  it('is shown nowhere', () => {
    const dump = JSON.stringify(mesh.configOf('edge'))
    expect(dump).toContain('BEGIN CERTIFICATE')
    expect(dump).not.toContain('PRIVATE KEY')
  })
})
