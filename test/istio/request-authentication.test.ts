/** RequestAuthentication by what callers with and without tokens meet; roles and attributes from claims. */
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Mesh, type Seen, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let back: Workload
let keys: Awaited<ReturnType<typeof generateKeyPair>>
let others: Awaited<ReturnType<typeof generateKeyPair>>
let jwks: string
let answersKeys = true

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  front = mesh.pod('front')
  back = mesh.pod('back')
  const issuer = mesh.pod('issuer')
  mesh.service('back', [back])
  mesh.service('issuer', [issuer])
  keys = await generateKeyPair('ES256')
  others = await generateKeyPair('ES256')
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), alg: 'ES256', kid: 'one' }] })
  await mesh.app(back)
  await mesh.app(issuer, (_seen, response) => void response.writeHead(answersKeys ? 200 : 500).end(jwks))
})
afterAll(() => mesh.close())

const token = (claims: object = {}, { key = keys.privateKey, iss = 'me', exp = '10m' } = {}): Promise<string> =>
  new SignJWT({ sub: 'ann', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setIssuer(iss)
    .setExpirationTime(exp)
    .sign(key)

const authentication = (rule: string, more = ''): string =>
  `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: a}, spec: {${more}jwtRules: [${rule}]}}`
const authorization = (spec: string): string =>
  `\n---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: ${spec}}`
const own = (): string => `{issuer: me, jwks: '${jwks}'}`

async function come(
  headers: Record<string, string> = {},
  path = '/',
): Promise<{ readonly status: number; readonly seen: Seen; readonly body: string }> {
  const answer = await mesh.ask(front, `http://back.shop.svc.cluster.local${path}`, { headers })
  const body = answer.body.toString()
  const seen = answer.status === 200 ? (JSON.parse(body) as Seen) : { method: '', url: '', headers: {} }
  return { status: answer.status, seen, body }
}
const bearing = async (jwt: Promise<string> | string): Promise<number> =>
  (await come({ authorization: `Bearer ${await jwt}` })).status

describe('RequestAuthentication', () => {
  it('refuses bad tokens, and lets requests without one pass', async () => {
    await mesh.apply(authentication(own()))
    expect((await come()).status).toBe(200)
    expect(await bearing(token())).toBe(200)
    expect(await bearing(token({}, { key: others.privateKey }))).toBe(401)
    expect(await bearing(token({}, { iss: 'someone' }))).toBe(401)
    expect(await bearing(token({}, { exp: '-10m' }))).toBe(401)
    expect(await bearing('nonsense')).toBe(401)
  })

  it('wants one of the audiences', async () => {
    await mesh.apply(authentication(`{issuer: me, audiences: [shop], jwks: '${jwks}'}`))
    expect(await bearing(token({ aud: ['other', 'shop'] }))).toBe(200)
    expect(await bearing(token({ aud: 'other' }))).toBe(403)
  })

  it('finds tokens where it is told to, and nowhere else', async () => {
    const places = 'fromHeaders: [{name: X-Token, prefix: "T "}], fromParams: [t], fromCookies: [session]'
    await mesh.apply(
      authentication(`{issuer: me, jwks: '${jwks}', ${places}}`) +
        authorization('{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}'),
    )
    const jwt = await token()
    expect((await come({ 'x-token': `T ${jwt}` })).status).toBe(200)
    expect((await come({}, `/?t=${jwt}`)).status).toBe(200)
    expect((await come({ cookie: `session=${jwt}` })).status).toBe(200)
    expect((await come({ authorization: `Bearer ${jwt}` })).status).toBe(403)
  })

  it('keeps the token from the application unless it is to go on, and writes what it is told', async () => {
    const rule = `{issuer: me, jwks: '${jwks}', outputPayloadToHeader: X-Payload, outputClaimToHeaders: [{header: X-Sub, claim: sub}, {header: X-Deep, claim: a.b}]}`
    await mesh.apply(authentication(rule))
    const jwt = await token({ a: { b: 'c' } })
    const { seen } = await come({ authorization: `Bearer ${jwt}`, 'x-sub': 'root' })
    expect(seen.headers).toMatchObject({ 'x-sub': 'ann', 'x-deep': 'c' })
    expect(seen.headers.authorization).toBeUndefined()
    expect(JSON.parse(Buffer.from(String(seen.headers['x-payload']), 'base64url').toString())).toMatchObject({
      sub: 'ann',
    })
    await mesh.apply(authentication(`{issuer: me, jwks: '${jwks}', forwardOriginalToken: true}`))
    expect((await come({ authorization: `Bearer ${jwt}` })).seen.headers.authorization).toBe(`Bearer ${jwt}`)
  })

  it('believes several issuers, each with its own keys', async () => {
    const second = JSON.stringify({ keys: [{ ...(await exportJWK(others.publicKey)), alg: 'ES256', kid: 'one' }] })
    await mesh.apply(authentication(`${own()}, {issuer: you, jwks: '${second}'}`))
    expect((await come()).status).toBe(200)
    expect(await bearing(token())).toBe(200)
    expect(await bearing(token({}, { iss: 'you', key: others.privateKey }))).toBe(200)
    expect(await bearing(token({}, { iss: 'you' }))).toBe(401)
    expect(await bearing(token({}, { iss: 'third' }))).toBe(401)
  })

  it('has the proxy fetch keys of a server in the mesh', async () => {
    await mesh.apply(authentication('{issuer: me, jwksUri: "http://issuer.shop.svc.cluster.local/keys", timeout: 2s}'))
    expect(await bearing(token())).toBe(200)
    expect(await bearing(token({}, { key: others.privateKey }))).toBe(401)
  })

  it('refuses all tokens of an issuer whose keys nobody has', async () => {
    await mesh.apply(authentication('{issuer: me, jwksUri: "https://issuer.example/keys"}'))
    expect(await bearing(token())).toBe(401)
    expect((await come()).status).toBe(200)
    answersKeys = false
    await mesh.apply(authentication('{issuer: me, jwksUri: "http://issuer.shop.svc.cluster.local/other"}'))
    expect(await bearing(token())).toBe(401)
    answersKeys = true
  })

  it('speaks to the pods it selects', async () => {
    await mesh.apply(authentication(own(), 'selector: {matchLabels: {app: other}}, '))
    expect(await bearing('nonsense')).toBe(200)
    await mesh.apply(authentication(own(), 'targetRefs: [{group: "", kind: Service, name: back}], '))
    expect(await bearing('nonsense')).toBe(401)
  })
})

describe('request.auth in AuthorizationPolicy', () => {
  const rule = (text: string): string =>
    authentication(`{issuer: me, jwks: '${jwks}', spaceDelimitedClaims: [roles]}`) +
    authorization(`{rules: [{${text}}]}`)
  const principals = (list: string): string => rule(`from: [{source: {requestPrincipals: [${list}]}}]`)
  const when = (key: string, values: string): string => rule(`when: [{key: "${key}", ${values}}]`)

  it.each<[string, () => string, object, object | undefined]>([
    ['requestPrincipals', () => principals('me/ann'), {}, { sub: 'bob' }],
    ['requestPrincipals: anyone', () => principals('"*"'), {}, undefined],
    ['requestPrincipals of an issuer', () => principals('"me/*"'), {}, undefined],
    ['requestPrincipals by suffix', () => principals('"*/ann"'), {}, { sub: 'joann' }],
    ['requestPrincipals by prefix', () => principals('"me/a*"'), {}, { sub: 'bob' }],
    [
      'notRequestPrincipals',
      () => rule('from: [{source: {requestPrincipals: ["*"], notRequestPrincipals: [me/bob]}}]'),
      {},
      { sub: 'bob' },
    ],
    ['request.auth.principal', () => when('request.auth.principal', 'values: [me/ann]'), {}, { sub: 'bob' }],
    [
      'request.auth.audiences',
      () => when('request.auth.audiences', 'values: [shop]'),
      { aud: ['x', 'shop'] },
      { aud: 'x' },
    ],
    ['request.auth.audiences, one', () => when('request.auth.audiences', 'values: [shop]'), { aud: 'shop' }, undefined],
    ['request.auth.presenter', () => when('request.auth.presenter', 'values: [app]'), { azp: 'app' }, { azp: 'b' }],
    ['a claim', () => when('request.auth.claims[role]', 'values: [admin]'), { role: 'admin' }, { role: 'user' }],
    [
      'a claim with several values',
      () => when('request.auth.claims[groups]', 'values: [admin]'),
      { groups: ['a', 'admin'] },
      { groups: ['a'] },
    ],
    [
      'a claim within a claim',
      () => when('request.auth.claims[realm][roles]', 'values: ["adm*"]'),
      { realm: { roles: ['admin'] } },
      { realm: { roles: [] } },
    ],
    [
      'a claim with spaces',
      () => when('request.auth.claims[scope]', 'values: [write]'),
      { scope: 'read write' },
      { scope: 'readwrite' },
    ],
    [
      'a claim that is said to have spaces',
      () => when('request.auth.claims[roles]', 'values: [b]'),
      { roles: 'a b' },
      { roles: 'ab' },
    ],
    ['notValues', () => when('request.auth.claims[role]', 'notValues: [guest]'), { role: 'admin' }, { role: 'guest' }],
  ])('%s', async (_name, yaml, admitted, refused) => {
    await mesh.apply(yaml())
    expect(await bearing(token(admitted))).toBe(200)
    if (refused !== undefined) expect(await bearing(token(refused))).toBe(403)
  })

  it('requires a token where a policy asks for one', async () => {
    await mesh.apply(principals('"*"'))
    expect((await come()).status).toBe(403)
  })
})
