/** PeerAuthentication by what callers meet: modes × kinds of clients. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { APP_PORT, Mesh, TCP_PORT, type Workload } from './mesh.ts'

let mesh: Mesh
let front: Workload
let back: Workload
let lone: Workload

beforeAll(async () => {
  mesh = new Mesh()
  await mesh.useApi()
  front = mesh.pod('front')
  back = mesh.pod('back')
  lone = mesh.pod('lone', { sidecar: false })
  mesh.service(
    'back',
    [back],
    [
      { name: 'http', port: 80, target: APP_PORT },
      { name: 'tcp-hello', port: TCP_PORT },
    ],
  )
  mesh.service('lone', [lone])
  await Promise.all([mesh.app(back), mesh.app(lone), mesh.greeter(back), mesh.greeter(back, 9_100)])
})
afterAll(() => mesh.close())

const policy = (mode: string, more = '', namespace = 'shop'): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: ${namespace}}
spec: {mtls: {mode: ${mode}}${more}}
`
const selector = ', selector: {matchLabels: {app: back}}'

/** 200, another status, or how the connection ended. */
const of = (answer: Promise<{ status: number }>): Promise<number | string> =>
  answer.then(
    ({ status }) => status,
    () => 'reset',
  )

const met = async (): Promise<readonly unknown[]> => {
  const viaSidecar = await mesh.ask(front, 'http://back.shop.svc.cluster.local/')
  const { headers } = JSON.parse(viaSidecar.status === 200 ? viaSidecar.body.toString() : '{"headers":{}}') as {
    headers: Record<string, string>
  }
  return [
    viaSidecar.status,
    headers['x-forwarded-client-cert'] === undefined ? 'plaintext' : 'mTLS',
    await of(mesh.plain(back, '/')),
    await mesh.plainBytes(back),
    // A port that no service names.
    await mesh.plainBytes(back, 9_100),
  ]
}

describe('PeerAuthentication', () => {
  it.each([
    ['nothing', '{apiVersion: v1, kind: Namespace, metadata: {name: shop}}', [200, 'mTLS', 200, 'hello', 'hello']],
    ['PERMISSIVE', policy('PERMISSIVE'), [200, 'mTLS', 200, 'hello', 'hello']],
    ['STRICT', policy('STRICT'), [200, 'mTLS', 'reset', undefined, undefined]],
    ['STRICT in the mesh', policy('STRICT', '', 'istio-system'), [200, 'mTLS', 'reset', undefined, undefined]],
    ['STRICT of the workload', policy('STRICT', selector), [200, 'mTLS', 'reset', undefined, undefined]],
    [
      'STRICT but for one port',
      policy('STRICT', `${selector}, portLevelMtls: {"${APP_PORT}": {mode: PERMISSIVE}}`),
      [200, 'mTLS', 200, undefined, undefined],
    ],
    [
      'STRICT but for a port that no service names',
      policy('STRICT', `${selector}, portLevelMtls: {"9100": {mode: DISABLE}}`),
      [200, 'mTLS', 'reset', undefined, 'hello'],
    ],
    [
      'STRICT for one port',
      policy('UNSET', `${selector}, portLevelMtls: {"${TCP_PORT}": {mode: STRICT}}`),
      [200, 'mTLS', 200, undefined, 'hello'],
    ],
  ] as const)('%s', async (_mode, yaml, expected) => {
    await mesh.apply(yaml)
    expect(await met()).toEqual(expected)
  })

  it('DISABLE has callers come in plaintext, and refuses mTLS', async () => {
    await mesh.apply(policy('DISABLE'))
    const endpoints = front.proxy.state.snapshot.config.endpoints.get('outbound|80||back.shop.svc.cluster.local')
    expect(endpoints?.localities[0]?.endpoints[0]).toMatchObject({ transport: 'plain', port: APP_PORT })
    expect(back.proxy.state.snapshot.config.listeners.has('inbound-mesh')).toBe(false)
  })

  it('reaches pods without a sidecar in plaintext, whatever the mode', async () => {
    await mesh.apply(policy('STRICT'))
    expect((await mesh.ask(front, 'http://lone.shop.svc.cluster.local/')).status).toBe(200)
  })
})
