/** AuthenticationPolicies by what callers with and without credentials meet. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Mesh, type PlainOptions, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let back: Workload

beforeAll(async () => {
  mesh = new Mesh()
  front = mesh.pod('front')
  back = mesh.pod('back')
  mesh.service('back', [back])
  await mesh.app(back)
})
afterAll(() => mesh.close())

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const secret = (name: string, data: Record<string, string>, more = 'labels: {isthmus.dev/credentials: ""}'): string =>
  `\n---\n{apiVersion: v1, kind: Secret, metadata: {name: ${name}, ${more}}, data: ${JSON.stringify(
    Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
  )}}`
const policy = (spec: string, name = 'a'): string =>
  `\n---\n{apiVersion: isthmus.dev/v1alpha1, kind: AuthenticationPolicy, metadata: {name: ${name}}, spec: {${spec}}}`
const PARTNERS = secret('partners', { acme: 'key-of-acme\n', zenith: 'key-of-zenith' })
const PEOPLE = secret('people', { '.htpasswd': 'ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n' })
const KEYS =
  'apiKeys: {from: [{type: Header, name: x-api-key}, {type: Query, name: api_key}, {type: Cookie, name: key}], secrets: [{name: partners}]}'
const BASIC = 'basic: {secrets: [{name: people}]}'
/** Of ann, whose password is `secret`. */
const ANN = { authorization: `Basic ${base64('ann:secret')}` }

interface Heard {
  readonly status: number
  /** As the application saw it; undefined where it was not reached. */
  readonly seen?: { readonly url: string; readonly headers: Record<string, string> }
  readonly headers: Record<string, unknown>
}

async function ask(options: PlainOptions = {}, path = '/'): Promise<Heard> {
  const { method = 'GET', headers = {} } = options
  const answer = await mesh.ask(front, `http://back${path}`, { method, headers })
  const { status } = answer
  if (status !== 200) return { status, headers: answer.headers }
  return { status, headers: answer.headers, seen: JSON.parse(answer.body.toString()) as NonNullable<Heard['seen']> }
}

describe('API keys', () => {
  it('open the door from header, query and cookie, say who it was, and go no further', async () => {
    await mesh.apply(PARTNERS + policy(KEYS))
    const byHeader = await ask({ headers: { 'x-api-key': 'key-of-acme', 'x-isthmus-consumer': 'zenith' } })
    expect(byHeader.seen?.headers).toMatchObject({ 'x-isthmus-consumer': 'acme' })
    expect(byHeader.seen?.headers).not.toHaveProperty('x-api-key')
    const byQuery = await ask({}, '/a?b=1&api_key=key-of-zenith')
    expect(byQuery.seen).toMatchObject({ url: '/a?b=1', headers: { 'x-isthmus-consumer': 'zenith' } })
    const byCookie = await ask({ headers: { cookie: 'a=b; key=key-of-acme' } })
    expect(byCookie.seen?.headers).toMatchObject({ cookie: 'a=b', 'x-isthmus-consumer': 'acme' })
    for (const headers of [{}, { 'x-api-key': 'wrong' }, { 'x-api-key': '' }, ANN, { 'x-isthmus-consumer': 'acme' }]) {
      expect((await ask({ headers })).status).toBe(401)
    }
    // Who comes without mTLS meets the same door.
    expect((await mesh.plain(back, '/')).status).toBe(401)
    expect((await mesh.plain(back, '/', { headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(200)
  })

  it('change with their Secret', async () => {
    await mesh.apply(PARTNERS + policy(KEYS))
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(200)
    await mesh.apply(secret('partners', { acme: 'new-key' }) + policy(KEYS))
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(401)
    expect((await ask({ headers: { 'x-api-key': 'new-key' } })).status).toBe(200)
  })

  it('reach the application where that is wanted', async () => {
    await mesh.apply(PARTNERS + policy(`${KEYS}, forwardCredentials: true, identityHeader: X-Who`))
    const { seen } = await ask({ headers: { 'x-api-key': 'key-of-acme', 'x-who': 'me' } })
    expect(seen?.headers).toMatchObject({ 'x-api-key': 'key-of-acme', 'x-who': 'acme' })
  })
})

describe('passwords', () => {
  it('open the door, and a wrong one is challenged', async () => {
    await mesh.apply(PEOPLE + policy(BASIC))
    const good = await ask({ headers: ANN })
    expect(good.seen?.headers).toMatchObject({ 'x-isthmus-consumer': 'ann' })
    expect(good.seen?.headers).not.toHaveProperty('authorization')
    const bad = await ask({ headers: { authorization: `Basic ${base64('ann:wrong')}` } })
    expect(bad.status).toBe(401)
    expect(bad.headers['www-authenticate']).toMatch(/^Basic realm=/)
    expect((await ask()).status).toBe(401)
  })

  it('may come from a Secret with one name and password', async () => {
    const one = secret('people', { username: 'eve', password: 'pässword' }).replace(
      'kind: Secret',
      'kind: Secret, type: kubernetes.io/basic-auth',
    )
    await mesh.apply(one + policy(BASIC))
    expect((await ask({ headers: { authorization: `Basic ${base64('eve:pässword')}` } })).status).toBe(200)
    expect((await ask({ headers: { authorization: `Basic ${base64('eve:passwort')}` } })).status).toBe(401)
  })
})

describe('several ways in', () => {
  it('either is enough', async () => {
    await mesh.apply(PARTNERS + PEOPLE + policy(`${KEYS}, ${BASIC}`))
    expect((await ask({ headers: ANN })).seen?.headers).toMatchObject({ 'x-isthmus-consumer': 'ann' })
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(200)
    expect((await ask({ headers: { authorization: 'Basic x' } })).status).toBe(401)
    expect((await ask()).status).toBe(401)
  })

  it('optional: without credentials one is nobody, with wrong ones one is refused', async () => {
    await mesh.apply(PARTNERS + PEOPLE + policy(`${KEYS}, ${BASIC}, mode: optional`))
    const nobody = await ask({ headers: { 'x-isthmus-consumer': 'acme' } })
    expect(nobody.status).toBe(200)
    expect(nobody.seen?.headers).not.toHaveProperty('x-isthmus-consumer')
    expect((await ask({ headers: { 'x-api-key': 'wrong' } })).status).toBe(401)
    expect((await ask({}, '/?api_key=wrong')).status).toBe(401)
    expect((await ask({ headers: { cookie: 'a=b;key=wrong' } })).status).toBe(401)
    expect((await ask({ headers: { authorization: 'Basic x' } })).status).toBe(401)
    expect((await ask({ headers: { cookie: 'mykey=wrong' } })).status).toBe(200)
    expect((await ask({ headers: { cookie: 'key=key-of-acme' } })).seen?.headers).toMatchObject({
      'x-isthmus-consumer': 'acme',
    })
  })

  it('paths are left out as they are in normal form, and preflights', async () => {
    await mesh.apply(PARTNERS + policy(`${KEYS}, exclude: [/healthz, "/public/*"]`))
    for (const path of ['/healthz', '/healthz?q', '/public/', '/public/a/b']) {
      const { status, seen } = await ask({ headers: { 'x-isthmus-consumer': 'acme' } }, path)
      expect([path, status]).toEqual([path, 200])
      expect(seen?.headers).not.toHaveProperty('x-isthmus-consumer')
    }
    for (const path of ['/healthz/x', '/public', '/public/../a', '/public/%2e%2e/a', '/public/..%2fa', '//public/']) {
      expect([path, (await ask({}, path)).status]).not.toEqual([path, 200])
    }
    const preflight = { origin: 'https://a.example', 'access-control-request-method': 'POST' }
    expect((await ask({ method: 'OPTIONS', headers: preflight })).status).toBe(200)
    expect((await ask({ method: 'OPTIONS' })).status).toBe(401)
    expect((await ask({ headers: preflight })).status).toBe(401)
  })
})

describe('mistakes close the door', () => {
  it.each([
    ['without the Secret', policy(KEYS)],
    ['without its label', secret('partners', { acme: 'key-of-acme' }, 'labels: {}') + policy(KEYS)],
    [
      'with a Secret of another namespace',
      PARTNERS.replace('name: partners', 'namespace: other, name: partners') + policy(KEYS),
    ],
    ['with a key that is none', secret('partners', { acme: '' }) + policy(KEYS)],
    ['with a flawed policy', PARTNERS + policy(`${KEYS}, identityHeader: host`)],
    ['with no way in', PARTNERS + policy('')],
  ])('%s', async (_name, objects) => {
    await mesh.apply(objects)
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(403)
    expect((await ask({ headers: { 'x-api-key': '' } })).status).toBe(403)
    expect((await ask()).status).toBe(403)
  })

  it('two with one key: it stays the first one’s', async () => {
    await mesh.apply(secret('partners', { a: 'same', b: 'same' }) + policy(KEYS))
    expect((await ask({ headers: { 'x-api-key': 'same' } })).seen?.headers).toMatchObject({ 'x-isthmus-consumer': 'a' })
  })
})

describe('which policy', () => {
  it('that of the service before that of a label before that of the namespace', async () => {
    const all = policy('basic: {secrets: [{name: people}]}', 'all')
    const label = policy(`selector: {matchLabels: {app: back}}, ${KEYS.replace('partners', 'others')}`, 'label')
    const service = policy(`targetRefs: [{kind: Service, name: back}], ${KEYS}`, 'service')
    const others = secret('others', { other: 'key-of-other' })
    const secrets = PARTNERS + PEOPLE + others
    await mesh.apply(secrets + all)
    expect((await ask({ headers: ANN })).status).toBe(200)
    await mesh.apply(secrets + all + label)
    expect((await ask({ headers: ANN })).status).toBe(401)
    expect((await ask({ headers: { 'x-api-key': 'key-of-other' } })).status).toBe(200)
    await mesh.apply(secrets + all + label + service)
    expect((await ask({ headers: { 'x-api-key': 'key-of-other' } })).status).toBe(401)
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(200)
  })
})

describe('the consumer’s name elsewhere', () => {
  const rule = (action: string): string =>
    `\n---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: ${action}, rules: [{when: [{key: isthmus.consumer, values: [acme]}]}]}}`

  it('in AuthorizationPolicies', async () => {
    await mesh.apply(PARTNERS + policy(`${KEYS}, mode: optional`) + rule('ALLOW'))
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(200)
    expect((await ask({ headers: { 'x-api-key': 'key-of-zenith' } })).status).toBe(403)
    expect((await ask({ headers: { 'x-isthmus-consumer': 'acme' } })).status).toBe(403)
    await mesh.apply(PARTNERS + policy(`${KEYS}, mode: optional`) + rule('DENY'))
    expect((await ask({ headers: { 'x-api-key': 'key-of-acme' } })).status).toBe(403)
    expect((await ask({ headers: { 'x-api-key': 'key-of-zenith' } })).status).toBe(200)
  })

  it('is nobody’s where nobody asks, whatever the header says', async () => {
    await mesh.apply(rule('ALLOW'))
    expect((await ask({ headers: { 'x-isthmus-consumer': 'acme' } })).status).toBe(403)
  })

  it('in rate limits', async () => {
    const limits = `\n---\n{apiVersion: isthmus.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: r}, spec: {limits: [
      {name: each, requests: 1, window: hour, by: [{type: Consumer}], quotas: [{values: [acme], requests: 2}]}]}}`
    await mesh.apply(PARTNERS + policy(`${KEYS}, mode: optional`) + limits)
    const statuses = async (key: string | undefined, count: number): Promise<number[]> => {
      const found: number[] = []
      for (let index = 0; index < count; index += 1) {
        found.push((await ask({ headers: key === undefined ? {} : { 'x-api-key': key } })).status)
      }
      return found
    }
    expect(await statuses('key-of-acme', 3)).toEqual([200, 200, 429])
    expect(await statuses('key-of-zenith', 2)).toEqual([200, 429])
    expect(await statuses(undefined, 2)).toEqual([200, 429])
    // Whoever is refused for who they are uses up nothing.
    expect(await statuses('wrong', 1)).toEqual([401])
  })
})
