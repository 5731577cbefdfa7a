/** RateLimitPolicies by what callers meet. What they are translated to stands in test/golden/rate-limit-policy. */
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../gateways/testing/until.ts'
import { Mesh, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let other: Workload
let back: Workload
let jwks: string
let keys: Awaited<ReturnType<typeof generateKeyPair>>

beforeAll(async () => {
  mesh = new Mesh()
  front = mesh.pod('front')
  other = mesh.pod('other')
  back = mesh.pod('back')
  mesh.service('back', [back])
  await mesh.app(back)
  keys = await generateKeyPair('ES256')
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', kid: 'one' }] })
})
afterAll(() => mesh.close())

let policies = 0
/** A new name each time, so that no case meets the buckets of another. */
const policy = (limits: string, more = ''): string =>
  `{apiVersion: isthmus.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: p${++policies}}, spec: {${more}limits: [${limits}]}}`

const URL = 'http://back/'
const statuses = async (count: number, ask: () => Promise<{ readonly status: number }>): Promise<number[]> => {
  const found: number[] = []
  for (let index = 0; index < count; index += 1) found.push((await ask()).status)
  return found
}
const asks =
  (from: Workload, headers: Record<string, string> = {}, path = '') =>
  (): ReturnType<Mesh['ask']> =>
    mesh.ask(from, URL + path, { headers })

describe('a limit for all', () => {
  it('refuses what is too much with 429, says when to come again, and lets tokens come back', async () => {
    await mesh.apply(policy('{name: all, requests: 2, window: second}'))
    expect(await statuses(2, asks(front))).toEqual([200, 200])
    const refused = await asks(other)()
    expect(refused.status).toBe(429)
    expect(refused.headers).toMatchObject({
      'retry-after': '1',
      'x-ratelimit-limit': '2',
      'x-ratelimit-remaining': '0',
      'isthmus-error': 'RATE_LIMITED',
    })
    await until(() => back.records.some(({ flags, status }) => flags === 'RL' && status === 429))
    // Half a second later there is one again.
    let status = 429
    while (status === 429) status = (await asks(front)()).status
    expect(status).toBe(200)
  })

  it('is one for all names and ways by which requests come', async () => {
    await mesh.apply(policy('{name: all, requests: 3, window: hour}', 'targetRefs: [{kind: Service, name: back}], '))
    expect((await asks(front)()).status).toBe(200)
    expect((await mesh.plain(back, '/')).status).toBe(200)
    expect((await asks(other)()).status).toBe(200)
    expect((await mesh.plain(back, '/')).status).toBe(429)
    expect((await asks(other)()).status).toBe(429)
  })

  it('keeps its count while other policies change', async () => {
    const first = policy('{name: all, requests: 2, window: hour}')
    await mesh.apply(first)
    expect(await statuses(2, asks(front))).toEqual([200, 200])
    await mesh.apply(`${first}\n---\n${policy('{name: many, requests: 1000, window: hour}')}`)
    expect(await statuses(1, asks(front))).toEqual([429])
  })

  it('counts and refuses nothing in shadow mode', async () => {
    await mesh.apply(policy('{name: all, requests: 1, window: hour}', 'mode: shadow, '))
    expect(await statuses(4, asks(front))).toEqual([200, 200, 200, 200])
  })

  it('takes a burst and no more', async () => {
    await mesh.apply(policy('{name: all, requests: 1000, window: hour, burst: 2}'))
    expect(await statuses(3, asks(front))).toEqual([200, 200, 429])
  })
})

describe('whom it is about', () => {
  it('the pods of the namespace, of a label, of a service; never those of another namespace', async () => {
    const one = '{name: all, requests: 1, window: hour}'
    await mesh.apply(policy(one, 'selector: {matchLabels: {app: back}}, '))
    expect(await statuses(2, asks(front))).toEqual([200, 429])
    await mesh.apply(policy(one, 'selector: {matchLabels: {app: someone}}, '))
    expect(await statuses(2, asks(front))).toEqual([200, 200])
    await mesh.apply(policy(one, 'targetRefs: [{kind: ServiceImport, name: back}], '))
    expect(await statuses(2, asks(front))).toEqual([200, 200])
    await mesh.apply(policy(one).replace('metadata: {', 'metadata: {namespace: elsewhere, '))
    expect(await statuses(2, asks(front))).toEqual([200, 200])
  })

  it('nobody, if the policy is flawed', async () => {
    await mesh.apply(policy('{name: all, requests: 1, window: hour, by: [{type: Header}]}'))
    expect(await statuses(2, asks(front))).toEqual([200, 200])
  })
})

describe('keys', () => {
  it('by the identity that the certificate proves, which nobody can claim in a header', async () => {
    await mesh.apply(
      policy(
        `{name: each, requests: 1, window: hour, by: [{type: Principal}], quotas: [{values: ["${other.uri}"], requests: 3}]}`,
      ),
    )
    const forged = { 'x-isthmus-limit-principal': other.uri }
    expect(await statuses(2, asks(front, forged))).toEqual([200, 429])
    expect(await statuses(4, asks(other))).toEqual([200, 200, 200, 429])
    // Callers without a certificate have one limit together.
    const plain = (): ReturnType<Mesh['plain']> => mesh.plain(back, '/', { headers: forged })
    expect(await statuses(2, plain)).toEqual([200, 429])
    expect(mesh.seen.at(-1)?.headers).not.toHaveProperty('x-isthmus-limit-principal')
  })

  it('by header, where those without it have a limit together', async () => {
    await mesh.apply(policy('{name: each, requests: 1, window: hour, by: [{type: Header, name: X-Tenant}]}'))
    expect(await statuses(2, asks(front, { 'x-tenant': 'a' }))).toEqual([200, 429])
    expect(await statuses(2, asks(front, { 'x-tenant': 'b' }))).toEqual([200, 429])
    expect(await statuses(2, asks(front))).toEqual([200, 429])
  })

  it('by path without its query, and by method', async () => {
    await mesh.apply(policy('{name: each, requests: 1, window: hour, by: [{type: Path}, {type: Method}]}'))
    expect(await statuses(1, asks(front, {}, 'a?x=1'))).toEqual([200])
    expect(await statuses(1, asks(front, {}, 'a?x=2'))).toEqual([429])
    expect(await statuses(1, asks(front, {}, 'b'))).toEqual([200])
    expect((await mesh.ask(front, `${URL}a`, { method: 'POST' })).status).toBe(200)
  })

  it('by the client’s address', async () => {
    await mesh.apply(policy('{name: each, requests: 1, window: hour, by: [{type: Address}]}'))
    expect(await statuses(2, asks(front))).toEqual([200, 429])
    expect(await statuses(2, asks(other))).toEqual([200, 429])
  })

  it('by a claim of a token that was found good', async () => {
    const tokens = `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a}, spec: {jwtRules: [{issuer: me, jwks: '${jwks}'}]}}`
    const limits = policy(
      '{name: each, requests: 1, window: hour, by: [{type: Claim, name: sub}], quotas: [{values: [gold], requests: 2}]}',
    )
    await mesh.apply(`${tokens}\n---\n${limits}`)
    const as = async (sub: string): Promise<Record<string, string>> => {
      const token = new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'one' }).setIssuer('me').setSubject(sub)
      return { authorization: `Bearer ${await token.setExpirationTime('10m').sign(keys.privateKey)}` }
    }
    expect(await statuses(2, asks(front, await as('ann')))).toEqual([200, 429])
    expect(await statuses(3, asks(front, await as('gold')))).toEqual([200, 200, 429])
    expect(await statuses(2, asks(front))).toEqual([200, 429])
  })

  it('only where the conditions hold', async () => {
    await mesh.apply(
      policy(`{name: writes, requests: 1, window: hour,
        when: {paths: [/orders, "/carts/*", "*.json"], methods: [GET, POST], headers: [{name: X-A, value: a}, {name: x-b}]}}`),
    )
    const both = { 'x-a': 'a', 'x-b': 'any' }
    expect(await statuses(1, asks(front, both, 'orders?q=/'))).toEqual([200])
    expect(await statuses(1, asks(front, both, 'carts/1?q'))).toEqual([429])
    expect(await statuses(1, asks(front, both, 'a.json'))).toEqual([429])
    expect(await statuses(2, asks(front, both, 'orders/x'))).toEqual([200, 200])
    expect(await statuses(2, asks(front, both, 'x?/orders'))).toEqual([200, 200])
    expect(await statuses(2, asks(front, { 'x-a': 'b', 'x-b': 'any' }, 'orders'))).toEqual([200, 200])
    expect(await statuses(2, asks(front, { 'x-a': 'a' }, 'orders'))).toEqual([200, 200])
    expect((await mesh.ask(front, `${URL}orders`, { method: 'PUT', headers: both })).status).toBe(200)
  })

  it('several limits at once, each for itself', async () => {
    await mesh.apply(
      policy(
        '{name: each, requests: 1, window: hour, by: [{type: Header, name: x-t}]}, {name: all, requests: 2, window: hour}',
      ),
    )
    expect(await statuses(1, asks(front, { 'x-t': 'a' }))).toEqual([200])
    expect(await statuses(1, asks(front, { 'x-t': 'b' }))).toEqual([200])
    expect(await statuses(1, asks(front, { 'x-t': 'c' }))).toEqual([429])
  })
})

it('a client is told nothing of limits that are not about it', async () => {
  await mesh.apply(policy('{name: other, requests: 1, window: hour, when: {paths: [/other]}}'))
  const answer = await asks(front)()
  expect(answer.status).toBe(200)
  expect(answer.headers).not.toHaveProperty('x-ratelimit-limit')
})
