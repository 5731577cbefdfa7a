/** Token issuers outside the mesh: from the document at the API server to what callers with their tokens meet. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../gateways/testing/until.ts'
import { issuerKeyParts } from '../../src/controlplane/issuer-keys/parts.ts'
import { CONFIG_MAPS, REQUEST_AUTHENTICATIONS } from '../../src/kube/kinds.ts'
import type { Condition } from '../../src/kube/object.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import type { ApiSource } from '../mesh/api.ts'
import { Mesh, type Workload } from './mesh.ts'

const REFRESH_MS = 200

let mesh: Mesh
let api: ApiSource
let front: Workload
/** What issuers answer, by address; absent: nothing. */
const answers = new Map<string, unknown>()
const asked: string[] = []

beforeAll(async () => {
  mesh = new Mesh()
  front = mesh.pod('front')
  const back = mesh.pod('back')
  mesh.service('back', [back])
  await mesh.app(back)
  api = await mesh.useApi()
  const parts = issuerKeyParts({
    client: api.client,
    clock: systemClock,
    random: systemRandom,
    log: createLog('test', 'fatal'),
    refreshMs: REFRESH_MS,
    fetch: (uri) => {
      asked.push(uri)
      return answers.has(uri) ? Promise.resolve(answers.get(uri)) : Promise.reject(new Error('answers 503'))
    },
  })
  api.onSnapshot = (snapshot) => parts.set(snapshot)
  mesh.world.onClose(() => parts.stop())
})
afterAll(() => mesh.close())

async function issuer(): Promise<{ keys: unknown; token: (iss: string) => Promise<string> }> {
  const pair = await generateKeyPair('ES256')
  return {
    keys: {
      keys: [
        { ...(await exportJWK(pair.publicKey)), alg: 'ES256', kid: 'k' },
        { kty: 'oct', k: 'AAAA' },
      ],
    },
    token: (iss) =>
      new SignJWT({ sub: 'ann' })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .setIssuer(iss)
        .setExpirationTime('10m')
        .sign(pair.privateKey),
  }
}

const policy = (rule: string): string =>
  `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a}, spec: {jwtRules: [${rule}]}}`

async function bearing(token: string): Promise<number> {
  await mesh.runPresent(api)
  const headers = { authorization: `Bearer ${token}` }
  return (await mesh.ask(front, 'http://back.shop.svc.cluster.local/', { headers })).status
}

async function condition(): Promise<Condition | undefined> {
  const found = await api.client.get(REQUEST_AUTHENTICATIONS, 'a', 'shop')
  const { conditions = [] } = (found as { status?: { conditions?: Condition[] } } | undefined)?.status ?? {}
  return conditions.find(({ type }) => type === 'KeysFetched')
}
const saying = (status: string): Promise<unknown> => until(async () => (await condition())?.status === status, 10_000)

describe('an issuer outside the mesh', () => {
  it('has its tokens refused until its keys are there, and says so', async () => {
    const { keys, token } = await issuer()
    await mesh.apply(policy('{issuer: me, jwksUri: "https://me.example/keys"}'))
    await saying('False')
    expect(await bearing(await token('me'))).toBe(401)
    expect(await condition()).toMatchObject({
      reason: 'FetchFailed',
      message: expect.stringContaining('https://me.example/keys answers 503') as string,
    })
    answers.set('https://me.example/keys', keys)
    await saying('True')
    expect(await bearing(await token('me'))).toBe(200)
    expect(await bearing(await (await issuer()).token('me'))).toBe(401)
  })

  it('may change its keys, which are believed with the next look, and may be away', async () => {
    const next = await issuer()
    answers.set('https://me.example/keys', next.keys)
    const token = await next.token('me')
    await until(async () => (await bearing(token)) === 200, REFRESH_MS * 20)
    answers.delete('https://me.example/keys')
    await until(async () => ((await condition())?.message ?? '').includes('the keys last seen stay'), 10_000)
    expect((await condition())?.status).toBe('True')
    expect(await bearing(token)).toBe(200)
  })

  it('is found through its OpenID configuration, which must be its own', async () => {
    const { keys, token } = await issuer()
    const place = 'https://login.example/.well-known/openid-configuration'
    answers.set('https://login.example/jwks', keys)
    answers.set(place, { issuer: 'https://other.example', jwks_uri: 'https://login.example/jwks' })
    await mesh.apply(policy('{issuer: "https://login.example"}'))
    await until(async () => ((await condition())?.message ?? '').includes('of another issuer'), 10_000)
    answers.set(place, { issuer: 'https://login.example', jwks_uri: 'https://login.example/jwks' })
    await until(async () => (await condition())?.status === 'True', 10_000)
    expect(await bearing(await token('https://login.example'))).toBe(200)
  })

  it('is forgotten with the last policy that names it', async () => {
    await mesh.apply('')
    await until(async () => {
      const found = await api.client.get(CONFIG_MAPS, OBJECTS.issuerKeys, SYSTEM_NAMESPACE)
      return Object.keys(found?.data ?? {}).length === 0
    }, 10_000)
    const before = asked.length
    await new Promise((resolve) => systemClock.after(REFRESH_MS * 2, () => resolve(undefined)))
    expect(asked).toHaveLength(before)
  })
})
