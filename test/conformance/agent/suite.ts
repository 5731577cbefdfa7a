/**
 * What the rules of a mesh do, by real requests, whatever the sidecars are: one suite for every pair of a caller and a
 * callee. A place says how objects are applied and how a pod's application asks.
 */
import { expect, it } from 'vitest'
import type { Seen } from './world.ts'

export interface Heard {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** What the answering application saw; undefined: no application answered. */
  readonly seen: Seen | undefined
}

export interface Place {
  /** All rules of people, instead of those before; resolves when every proxy has them. */
  apply(yaml: string): Promise<void>
  /** A request of the caller's application. */
  ask(
    path: string,
    options?: { readonly host?: string; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Heard>
  /** By plaintext, past the caller's sidecar, at the port of the callee's application or of its sidecar. */
  askPast(path: string): Promise<Heard | undefined>
  /** Requests that the applications have seen since the last call. */
  taken(): Promise<readonly Seen[]>
  /** A word that no request had before. */
  fresh(): string
  /** A host outside the mesh and its port, where an application listens. */
  readonly outside: { readonly host: string; readonly address: string; readonly port: number }
  readonly jwks: string
  readonly token: (claims: Readonly<Record<string, unknown>>) => Promise<string>
}

/** The names of the world: service `callee` with subsets v1 and v2, `shadow`, and the caller's identity. */
const HOST = 'callee'
const CALLER = 'cluster.local/ns/shop/sa/caller'

/** An Envoy lets connections live on under the old rules of who may come in, for its drain time at most. */
const PATIENCE = { timeout: 20_000 } as const

const object = (kind: string, group: string, name: string, spec: string): string => `---
apiVersion: ${group}/v1
kind: ${kind}
metadata: { name: ${name}, namespace: shop }
spec: ${spec}
`
const virtualService = (spec: string): string =>
  object('VirtualService', 'networking.istio.io', HOST, `{ hosts: [${HOST}], ${spec} }`)
const destinationRule = (spec: string): string =>
  object('DestinationRule', 'networking.istio.io', HOST, `{ host: ${HOST}, ${spec} }`)
const SUBSETS = 'subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]'

export function trafficSuite(place: () => Place): void {
  const count = async (
    turns: number,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Record<string, number>> => {
    const found: Record<string, number> = {}
    for (let turn = 0; turn < turns; turn += 1) {
      const { status, seen } = await place().ask('/', { headers })
      const key = seen?.pod ?? String(status)
      found[key] = (found[key] ?? 0) + 1
    }
    return found
  }

  it('splits a canary by weight', async () => {
    const route = (v2: number): string =>
      virtualService(
        `http: [{ route: [{ destination: { host: ${HOST}, subset: v1 }, weight: ${100 - v2} }, { destination: { host: ${HOST}, subset: v2 }, weight: ${v2} }] }]`,
      )
    await place().apply(destinationRule(SUBSETS) + route(20))
    const found = await count(200)
    expect(found['callee-v2']).toBeGreaterThan(15)
    expect(found['callee-v2']).toBeLessThan(75)
    expect((found['callee-v1'] ?? 0) + (found['callee-v2'] ?? 0)).toBe(200)
    await place().apply(destinationRule(SUBSETS) + route(100))
    expect(await count(20)).toEqual({ 'callee-v2': 20 })
  })

  it('routes by a header', async () => {
    await place().apply(
      destinationRule(SUBSETS) +
        virtualService(
          `http: [{ match: [{ headers: { x-tester: { exact: "yes" } } }], route: [{ destination: { host: ${HOST}, subset: v2 } }] }, { route: [{ destination: { host: ${HOST}, subset: v1 } }] }]`,
        ),
    )
    expect(await count(10)).toEqual({ 'callee-v1': 10 })
    expect(await count(10, { 'x-tester': 'yes' })).toEqual({ 'callee-v2': 10 })
  })

  it('mirrors requests, whose answers nobody sees', async () => {
    await place().apply(
      virtualService(
        `http: [{ route: [{ destination: { host: ${HOST} } }], mirror: { host: shadow }, mirrorPercentage: { value: 100 } }]`,
      ),
    )
    await place().taken()
    const { status, seen } = await place().ask('/mirrored')
    expect(status).toBe(200)
    expect(seen?.pod).toMatch(/^callee/)
    const mirrored = async (): Promise<number> =>
      (await place().taken()).filter(({ pod, url }) => pod === 'shadow' && url === '/mirrored').length
    await expect.poll(mirrored, PATIENCE).toBe(1)
  })

  it('injects faults', async () => {
    await place().apply(
      virtualService(
        `http: [{ match: [{ headers: { x-fault: { exact: "yes" } } }], fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }, route: [{ destination: { host: ${HOST} } }] }, { match: [{ headers: { x-slow: { exact: "yes" } } }], fault: { delay: { fixedDelay: 0.4s, percentage: { value: 100 } } }, route: [{ destination: { host: ${HOST} } }] }, { route: [{ destination: { host: ${HOST} } }] }]`,
      ),
    )
    expect((await place().ask('/', { headers: { 'x-fault': 'yes' } })).status).toBe(418)
    const before = performance.now()
    expect((await place().ask('/', { headers: { 'x-slow': 'yes' } })).status).toBe(200)
    expect(performance.now() - before).toBeGreaterThan(390)
    expect((await place().ask('/')).status).toBe(200)
  })

  it('retries what failed, as often as it is told', async () => {
    const rule = (attempts: number): string =>
      virtualService(
        `http: [{ route: [{ destination: { host: ${HOST}, subset: v2 } }], retries: { attempts: ${attempts}, perTryTimeout: 2s, retryOn: "5xx" } }]`,
      )
    await place().apply(destinationRule(SUBSETS) + rule(3))
    await place().taken()
    // An application answers 503 until it has heard the same path so often.
    const key = place().fresh()
    expect((await place().ask(`/fail-until/3/${key}`)).status).toBe(200)
    expect(await place().taken()).toHaveLength(3)
    await place().apply(destinationRule(SUBSETS) + rule(1))
    await place().taken()
    expect((await place().ask(`/fail-until/9/${key}`)).status).toBe(503)
    expect(await place().taken()).toHaveLength(2)
  })

  it('breaks the circuit: an endpoint that fails is left alone', async () => {
    await place().apply(
      destinationRule(
        `trafficPolicy: { outlierDetection: { consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 100 } }`,
      ) + virtualService(`http: [{ route: [{ destination: { host: ${HOST} } }], retries: { attempts: 0 } }]`),
    )
    for (let turn = 0; turn < 30; turn += 1) await place().ask('/v1-fails')
    await place().taken()
    const found = await Promise.all(Array.from({ length: 10 }, () => place().ask('/v1-fails')))
    expect(found.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200))
    expect((await place().taken()).every(({ pod }) => pod === 'callee-v2')).toBe(true)
    // Whoever was ejected is back with another rule.
    await place().apply('')
  })

  it('limits what is under way', async () => {
    await place().apply(
      destinationRule(
        `trafficPolicy: { connectionPool: { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 1 } } }`,
      ) + virtualService(`http: [{ route: [{ destination: { host: ${HOST} } }], retries: { attempts: 0 } }]`),
    )
    const found = await Promise.all(Array.from({ length: 12 }, () => place().ask('/slow')))
    const statuses = new Set(found.map(({ status }) => status))
    expect(statuses).toEqual(new Set([200, 503]))
  })

  it('lets in who has a token with the right claim, and whom the policy names', async () => {
    const policies = (principal: string): string =>
      object(
        'RequestAuthentication',
        'security.istio.io',
        'jwt',
        `{ selector: { matchLabels: { app: ${HOST} } }, jwtRules: [{ issuer: "https://issuer.example", jwks: '${place().jwks}' }] }`,
      ) +
      object(
        'AuthorizationPolicy',
        'security.istio.io',
        'callers',
        `{ selector: { matchLabels: { app: ${HOST} } }, action: ALLOW, rules: [{ from: [{ source: { principals: ["${principal}"] } }], to: [{ operation: { methods: [GET], paths: ["/open*"] } }] }, { from: [{ source: { requestPrincipals: ["https://issuer.example/*"] } }], when: [{ key: "request.auth.claims[role]", values: [admin] }] }] }`,
      )
    await place().apply(policies(CALLER))
    const bearer = async (role: string): Promise<Record<string, string>> => ({
      authorization: `Bearer ${await place().token({ role })}`,
    })
    const statuses = async (): Promise<readonly number[]> => [
      (await place().ask('/open/it')).status,
      (await place().ask('/closed')).status,
      (await place().ask('/closed', { headers: await bearer('admin') })).status,
      (await place().ask('/closed', { headers: await bearer('guest') })).status,
      (await place().ask('/open/it', { headers: { authorization: 'Bearer forged' } })).status,
    ]
    await expect.poll(statuses, PATIENCE).toEqual([200, 403, 200, 403, 401])
    await place().apply(policies('cluster.local/ns/shop/sa/somebody-else'))
    await expect.poll(async () => (await statuses()).slice(0, 4), PATIENCE).toEqual([403, 403, 200, 403])
  })

  it('takes nobody without a certificate where the mesh is strict', async () => {
    await place().apply(object('PeerAuthentication', 'security.istio.io', 'strict', '{ mtls: { mode: STRICT } }'))
    await expect.poll(async () => (await place().ask('/strict')).status, PATIENCE).toBe(200)
    await place().taken()
    expect(await place().askPast('/past')).toBeUndefined()
    expect(await place().taken()).toEqual([])
  })

  it('controls egress', async () => {
    const { host, port, address } = place().outside
    const entry = object(
      'ServiceEntry',
      'networking.istio.io',
      'outside',
      `{ hosts: [${host}], location: MESH_EXTERNAL, resolution: STATIC, ports: [{ number: ${port}, name: http, protocol: HTTP }], endpoints: [{ address: ${address} }] }`,
    )
    const only = object(
      'Sidecar',
      'networking.istio.io',
      'default',
      '{ outboundTrafficPolicy: { mode: REGISTRY_ONLY }, egress: [{ hosts: ["./*"] }] }',
    )
    await place().apply(only)
    expect((await place().ask('/', { host: `${host}:${port}` })).status).toBe(502)
    await place().apply(only + entry)
    const { status, seen } = await place().ask('/out', { host: `${host}:${port}` })
    expect(status).toBe(200)
    expect(seen).toMatchObject({ pod: 'outside', url: '/out' })
    expect(seen?.headers).not.toHaveProperty('isthmus-peer')
  })
}
