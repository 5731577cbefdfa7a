/**
 * The same suite as traffic.test.ts, where nothing is made up: a local cluster of the built product, the mesh installed by
 * its manifests, pods injected with Envoy or our proxy by their annotation, rules by `isthmus apply`.
 */
import { get, request } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PORTS } from '../../../src/model/ports.ts'
import { LocalShop, must, obstacleTo } from './cluster/local.ts'
import { APP_PORT } from './cluster/shop.ts'
import { type Heard, type Place, trafficSuite } from './suite.ts'
import type { Seen, SidecarKind } from './world.ts'

const obstacle = await obstacleTo('plain')

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? 'a local cluster' : `a local cluster (skipped: needs ${obstacle})`,
  () => {
    const shop = new LocalShop()
    let words = 0
    let jwks = ''
    let keys: Awaited<ReturnType<typeof generateKeyPair>>

    beforeAll(async () => {
      await shop.start('plain')
      keys = await generateKeyPair('ES256')
      jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', kid: 'one' }] })
    }, 240_000)

    afterAll(() => shop.stop(), 60_000)

    const placeOf = (kind: SidecarKind): Place => ({
      outside: { host: 'api.example.com', address: shop.ipOf('outside'), port: APP_PORT },
      jwks,
      token: (claims) =>
        new SignJWT({ sub: 'ann', ...claims })
          .setProtectedHeader({ alg: 'ES256', kid: 'one' })
          .setIssuer('https://issuer.example')
          .setExpirationTime('1h')
          .sign(keys.privateKey),
      apply: (yaml) => shop.apply(yaml),
      ask: (path, options) => throughProxy(shop.ipOf(`caller-${kind}`), path, options),
      askPast: (path) => plaintext(shop.ipOf('callee-v1'), PORTS.inboundMesh, path),
      fresh: () => `${kind}-${(words += 1)}`,
      taken: async () => (await Promise.all(['callee-v1', 'callee-v2', 'shadow', 'outside'].map(takenAt))).flat(),
    })

    async function takenAt(name: string): Promise<readonly Seen[]> {
      return JSON.parse(await textOf(`http://${shop.ipOf(name)}:${APP_PORT}/__taken`)) as readonly Seen[]
    }

    it('shows each Envoy in proxy-status, synced', async () => {
      const text = await must(shop.isthmus('proxy-status', '--context', 'east'))
      for (const name of ['caller-envoy', 'callee-v1']) expect(text).toContain(name)
    })

    describe('asked by a pod with Envoy', { timeout: 90_000 }, () => trafficSuite(() => placeOf('envoy')))
    describe('asked by a pod with our proxy', { timeout: 90_000 }, () => trafficSuite(() => placeOf('ours')))
  },
)

function throughProxy(
  ip: string,
  path: string,
  {
    host = 'callee',
    headers = {},
  }: { readonly host?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const target = { host: ip, port: PORTS.httpProxy, path: `http://${host}${path}`, headers: { host, ...headers } }
    const asked = request({ ...target, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const seen = seenIn(Buffer.concat(chunks).toString())
        resolve({ status: response.statusCode ?? 0, headers: response.headers, seen })
      })
    })
    asked.on('error', reject)
    asked.end()
  })
}

function seenIn(text: string): Seen | undefined {
  try {
    const seen = JSON.parse(text) as Seen
    return typeof seen.pod === 'string' ? seen : undefined
  } catch {
    return undefined
  }
}

/** Undefined: no answer. */
function plaintext(host: string, port: number, path: string): Promise<Heard | undefined> {
  return new Promise((resolve) => {
    const asked = request({ host, port, path, agent: false, timeout: 2_000 }, (response) => {
      response.resume()
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, seen: undefined }),
      )
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(undefined))
    asked.end()
  })
}

function textOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
    }).on('error', reject)
  })
}
