/** Policies at a gateway, by selector as for any workload; and what a gateway believes of those in front of it. */
import { generateKeyPairSync } from 'node:crypto'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askEdge } from './edge-client.ts'
import { MeshWorld } from './world.ts'

const mesh = new MeshWorld()
let ip = ''
afterAll(() => mesh.close())

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a', alg: 'ES256' }] })
const token = (claims: Record<string, unknown>): Promise<string> =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: 'a' })
    .setIssuer('https://issuer.example.com')
    .setExpirationTime('1h')
    .sign(privateKey)

beforeAll(async () => {
  await mesh.pod('reviews')
  mesh.service('reviews')
  const config = '{ gatewayTopology: { numTrustedProxies: 1 } }'
  ip = mesh.gateway('edge', { annotations: { 'proxy.istio.io/config': config } }).ip
  await mesh.apply(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web, namespace: shop }
spec: { selector: { app: edge }, servers: [{ port: { number: 8080, name: http, protocol: HTTP }, hosts: ['*'] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec: { hosts: ['*'], gateways: [web], http: [{ route: [{ destination: { host: reviews } }] }] }
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: edge, namespace: shop }
spec:
  selector: { matchLabels: { app: edge } }
  jwtRules: [{ issuer: 'https://issuer.example.com', jwks: '${jwks}' }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: edge, namespace: shop }
spec:
  selector: { matchLabels: { app: edge } }
  rules:
    - to: [{ operation: { paths: [/open*], hosts: [shop.example.com] } }]
    - from: [{ source: { requestPrincipals: ['https://issuer.example.com/*'] } }]
      when: [{ key: 'request.auth.claims[role]', values: [admin] }]
    - from: [{ source: { remoteIpBlocks: [203.0.113.0/24] } }]
      to: [{ operation: { paths: [/near] } }]
`)
})

const status = async (path: string, headers: Record<string, string> = {}, host = 'shop.example.com') =>
  (await askEdge(ip, 8080, `http://${host}${path}`, { headers })).status

describe('policies that select a gateway', () => {
  it('admit by host and path', async () => {
    expect(await status('/open/a')).toBe(200)
    expect(await status('/open/a', {}, 'other.example.com')).toBe(403)
    expect(await status('/closed')).toBe(403)
  })

  it('read tokens', async () => {
    const bearer = async (claims: Record<string, unknown>) => ({ authorization: `Bearer ${await token(claims)}` })
    expect(await status('/closed', await bearer({ sub: 'a', role: 'admin' }))).toBe(200)
    expect(await status('/closed', await bearer({ sub: 'a', role: 'user' }))).toBe(403)
    expect(await status('/open', { authorization: 'Bearer nonsense' })).toBe(401)
  })
})

describe('a proxy in front that is trusted', () => {
  it('says who the client is', async () => {
    expect(await status('/near', { 'x-forwarded-for': '203.0.113.7' })).toBe(200)
    // The last address is the trusted proxy's word, whatever stands before it.
    expect(await status('/near', { 'x-forwarded-for': '203.0.113.7, 198.51.100.1' })).toBe(403)
    expect(await status('/near')).toBe(403)
  })
})
