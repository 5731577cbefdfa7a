/** AuthorizationPolicy CUSTOM: what becomes of requests that an extension provider is asked about, and of others. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Mesh, type Seen, TCP_PORT, APP_PORT, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let back: Workload
const asked: Seen[] = []

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  front = mesh.pod('front')
  back = mesh.pod('back')
  const judge = mesh.pod('judge')
  mesh.service(
    'back',
    [back],
    [
      { name: 'http', port: 80, target: APP_PORT },
      { name: 'tcp-hello', port: TCP_PORT },
    ],
  )
  mesh.service('judge', [judge], [{ name: 'http', port: 8000, target: APP_PORT }])
  await mesh.app(back)
  await mesh.greeter(back)
  await mesh.app(judge, (seen, response) => {
    asked.push(seen)
    const status = seen.headers['x-token'] === 'good' ? 200 : 401
    response.writeHead(status, { 'x-user': 'ann', 'x-why': 'because' }).end('judged')
  })
})
afterAll(() => mesh.close())

const settings = (provider: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: isthmus, namespace: isthmus-system}
data:
  mesh: |
    extensionProviders:
    - name: judge
      envoyExtAuthzHttp: ${provider}
`
const HTTP =
  '{service: judge.shop.svc.cluster.local, port: 8000, timeout: 5s, pathPrefix: /check, includeRequestHeadersInCheck: [x-token], includeAdditionalHeadersInCheck: {x-from: mesh}, headersToUpstreamOnAllow: [x-user], headersToDownstreamOnDeny: [x-why]}'
const custom = (spec: string, more = ''): string => `
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: CUSTOM, provider: {name: judge}, rules: ${spec}}}
${more}`
const GUARDED = '[{to: [{operation: {paths: ["/guarded*"]}}]}]'
const come = (path: string, headers: Record<string, string> = {}): ReturnType<Mesh['ask']> =>
  mesh.ask(front, `http://back.shop.svc.cluster.local${path}`, { headers })

describe('CUSTOM', () => {
  it('asks about what its rules match, and about nothing else', async () => {
    await mesh.apply(settings(HTTP) + custom(GUARDED))
    asked.length = 0
    expect((await come('/open')).status).toBe(200)
    expect(asked).toEqual([])
    const denied = await come('/guarded')
    expect([denied.status, denied.headers['x-why'], denied.body.toString()]).toEqual([401, 'because', 'judged'])
    const admitted = await come('/guarded', { 'x-token': 'good', 'x-user': 'root' })
    expect(admitted.status).toBe(200)
    expect((JSON.parse(admitted.body.toString()) as Seen).headers['x-user']).toBe('ann')
    expect(asked.map(({ url }) => url)).toEqual(['/check/guarded', '/check/guarded'])
    expect(asked[0]?.headers['x-from']).toBe('mesh')
  })

  it('stands before DENY and ALLOW, which still decide', async () => {
    const deny = `---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: q}, spec: {action: DENY, rules: [{to: [{operation: {paths: [/guarded/secret]}}]}]}}`
    await mesh.apply(settings(HTTP) + custom(GUARDED, deny))
    expect((await come('/guarded/secret', { 'x-token': 'good' })).status).toBe(403)
    expect((await come('/guarded/else', { 'x-token': 'good' })).status).toBe(200)
  })

  it.each([
    ['a provider that nobody configured', ''],
    ['one whose service nobody knows', settings('{service: nobody.shop.svc.cluster.local, port: 1}')],
  ])('refuses with %s', async (_why, configured) => {
    await mesh.apply(configured + custom(GUARDED))
    expect((await come('/guarded', { 'x-token': 'good' })).status).toBe(403)
    expect((await come('/open')).status).toBe(200)
  })

  it('says so where a provider that cannot be asked has a status of its own, or lets pass', async () => {
    await mesh.apply(
      settings('{service: nobody.shop.svc.cluster.local, port: 1, statusOnError: "503"}') + custom(GUARDED),
    )
    expect((await come('/guarded')).status).toBe(503)
    await mesh.apply(settings('{service: nobody.shop.svc.cluster.local, port: 1, failOpen: true}') + custom(GUARDED))
    expect((await come('/guarded')).status).toBe(200)
  })

  it('refuses bytes that its rules match, about which nobody is asked', async () => {
    await mesh.apply(settings(HTTP) + custom(GUARDED))
    expect(await mesh.plainBytes(back)).toBeUndefined()
    await mesh.apply(settings(HTTP) + custom('[{to: [{operation: {ports: ["1"]}}]}]'))
    expect(await mesh.plainBytes(back)).toBe('hello')
  })
})

describe('mesh settings', () => {
  it('may merge slashes before paths are judged', async () => {
    const merging = `
apiVersion: v1
kind: ConfigMap
metadata: {name: isthmus, namespace: isthmus-system}
data: {mesh: "pathNormalization: {normalization: MERGE_SLASHES}"}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: q}, spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin*"]}}]}]}}`
    await mesh.apply(merging)
    expect((await come('//admin')).status).toBe(403)
  })
})
