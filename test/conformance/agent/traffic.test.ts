/**
 * The rules of the mesh by real requests, in a mesh where one pod of a service has Envoy 1.40 beside it and one has our
 * proxy: the same suite for a caller with each, so that what both answer is compared.
 */
import { request } from 'node:http'
import type { ServerResponse } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe } from 'vitest'
import { freshIp } from '../../../gateways/testing/world.ts'
import { PORTS } from '../../../src/model/ports.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { envoyBinary } from '../envoy/binary.ts'
import { type Heard, type Place, trafficSuite } from './suite.ts'
import { APP_PORT, type Seen, SidecarWorld, type SidecarKind, type TestPod } from './world.ts'

const hasEnvoy = envoyBinary() !== undefined
const SLOW_MS = 300

describe.skipIf(!hasEnvoy)(
  hasEnvoy ? 'one Envoy and one of ours' : 'one Envoy and one of ours (skipped: no Envoy 1.40 here)',
  () => {
    let world: SidecarWorld
    const callers = new Map<SidecarKind, TestPod>()
    let callee: TestPod
    let outside: Place['outside']
    let keys: Awaited<ReturnType<typeof generateKeyPair>>
    let jwks = ''
    let words = 0

    const heardOften = new Map<string, number>()
    function answer(seen: Seen, response: ServerResponse): void {
      const [, word = '', times = '', key = ''] = seen.url.split('/')
      const body = JSON.stringify(seen)
      if (word === 'fail-until') {
        const often = (heardOften.get(`${times} ${key}`) ?? 0) + 1
        heardOften.set(`${times} ${key}`, often)
        return void response.writeHead(often < Number(times) ? 503 : 200).end(body)
      }
      if (word === 'v1-fails') return void response.writeHead(seen.pod === 'callee-v1' ? 500 : 200).end(body)
      if (word === 'slow') return void systemClock.after(SLOW_MS, () => response.end(body))
      response.end(body)
    }

    beforeAll(async () => {
      world = new SidecarWorld()
      await world.listen()
      for (const kind of ['envoy', 'ours'] as const) {
        callers.set(kind, world.pod(`caller-${kind}`, kind, { account: 'caller' }))
      }
      const one = world.pod('callee-v1', 'envoy', { labels: { app: 'callee', version: 'v1' }, account: 'callee' })
      const two = world.pod('callee-v2', 'ours', { labels: { app: 'callee', version: 'v2' }, account: 'callee' })
      const shadow = world.pod('shadow', 'none')
      for (const pod of [one, two, shadow]) await world.app(pod, answer)
      callee = one
      const address = freshIp()
      outside = { host: 'api.example.com', address, port: APP_PORT }
      await world.app({ ...shadow, name: 'outside', ip: address })
      world.service('callee', [one, two])
      world.service('shadow', [shadow])
      keys = await generateKeyPair('ES256')
      jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', kid: 'one' }] })
      world.apply()
      await world.start()
    }, 60_000)

    afterAll(() => world?.close())

    const placeOf = (kind: SidecarKind): Place => ({
      outside,
      jwks,
      token: (claims) =>
        new SignJWT({ sub: 'ann', ...claims })
          .setProtectedHeader({ alg: 'ES256', kid: 'one' })
          .setIssuer('https://issuer.example')
          .setExpirationTime('1h')
          .sign(keys.privateKey),
      apply: async (yaml) => {
        world.apply(yaml)
        await world.synced()
      },
      ask: async (path, { host = 'callee', headers = {} } = {}) => {
        const from = callers.get(kind)
        if (from === undefined) throw new Error(`no caller with ${kind}`)
        const answered = await world.ask(from, `http://${host}${path}`, { headers })
        return { status: answered.status, headers: answered.headers, seen: seenIn(answered.body.toString()) }
      },
      askPast: (path) => plaintext(callee.ip, PORTS.inboundMesh, path),
      fresh: () => `${kind}-${(words += 1)}`,
      taken: () => Promise.resolve(world.seen.splice(0)),
    })

    describe('asked by a pod with Envoy', { timeout: 90_000 }, () => trafficSuite(() => placeOf('envoy')))
    describe('asked by a pod with our proxy', { timeout: 90_000 }, () => trafficSuite(() => placeOf('ours')))
  },
)

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
