import { afterEach, describe, expect, it } from 'vitest'
import { AUTHORIZATION_POLICIES, PEER_AUTHENTICATIONS, REQUEST_AUTHENTICATIONS, TELEMETRIES } from '../kube/kinds.ts'
import { DESTINATION_RULES, type DestinationRule } from '../kube/kinds/networking.ts'
import type { Condition, KubeObject } from '../kube/object.ts'
import { ENVOY_FILTERS } from '../kube/schemas/stored/stored.ts'
import { MemoryClient } from '../kube/testing/memory-client.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { AdviceStatus } from './advice-status.ts'
import type { Snapshot } from './observe/facts.ts'
import { Observer } from './observe/observer.ts'

const log = createLog('test', 'fatal')
const mesh = { mesh: 'test.mesh', cluster: 'east', trustDomain: 'east.test.mesh', domain: 'cluster.local' }

const rule = (host: string, more: object = {}): DestinationRule => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'r', namespace: 'shop' },
  spec: { host, ...more },
})

const parts: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of parts.splice(0)) await part.stop()
})

async function world(client: MemoryClient): Promise<{ latest: () => Snapshot | undefined }> {
  const common = { client, clock: systemClock, random: systemRandom, log }
  const status = new AdviceStatus(common)
  const snapshots: Snapshot[] = []
  const observer = new Observer({
    ...common,
    mesh,
    onVerdict: status.judged,
    onSnapshot: (snapshot) => snapshots.push(snapshot),
  })
  parts.push(observer, status)
  await observer.start()
  return { latest: () => snapshots.at(-1) }
}

const conditions = async (
  client: MemoryClient,
  resource = DESTINATION_RULES as typeof ENVOY_FILTERS,
  name = 'r',
): Promise<readonly Condition[]> => {
  const found = await client.get<KubeObject & { status?: { conditions?: Condition[] } }>(resource, name, 'shop')
  return found?.status?.conditions ?? []
}

describe('an object that admission would have refused', () => {
  it('keeps its last good version, says so, and acts again when it is mended', async () => {
    const client = new MemoryClient()
    await client.create(DESTINATION_RULES, rule('checkout.shop.svc.cluster.local'))
    const { latest } = await world(client)
    const hosts = (): unknown => JSON.stringify([...(latest()?.networking.destinationRules.values() ?? [])])
    expect(hosts()).toContain('checkout.shop')
    // No webhook stands before this client.
    await client.patch(
      DESTINATION_RULES,
      { name: 'r', namespace: 'shop' },
      { spec: { host: '', x: 1 } },
      { type: 'merge' },
    )
    await expect
      .poll(() => conditions(client))
      .toMatchObject([
        {
          type: 'Invalid',
          status: 'True',
          reason: expect.stringMatching(/^FIELD_/),
          message: expect.stringContaining('spec.host'),
        },
      ])
    expect(hosts()).toContain('checkout.shop')
    await client.patch(
      DESTINATION_RULES,
      { name: 'r', namespace: 'shop' },
      { spec: { host: 'pay.shop.svc.cluster.local', x: null } },
      { type: 'merge' },
    )
    await expect.poll(() => conditions(client)).toMatchObject([{ type: 'Invalid', status: 'False' }])
    await expect.poll(hosts).toContain('pay.shop')
  })
})

describe('a security policy that was refused from the beginning', () => {
  const metadata = { name: 'r', namespace: 'shop' }
  const apiVersion = 'security.istio.io/v1'
  const labels = { app: 'checkout' }
  const stored = async (spec: object, annotations: Record<string, string> = {}): Promise<() => unknown> => {
    const client = new MemoryClient()
    const policy = { apiVersion, kind: 'AuthorizationPolicy', metadata: { ...metadata, annotations }, spec }
    await client.create(AUTHORIZATION_POLICIES, policy)
    const { latest } = await world(client)
    return () => [...(latest()?.security.authorizationPolicies.values() ?? [])]
  }

  it.each([
    ['where its labels say', { selector: { matchLabels: labels }, x: 1 }, { selector: labels }],
    ['for what it names', { targetRefs: [{ kind: 'Service', name: 'pay' }], x: 1 }, { targets: [{ name: 'pay' }] }],
    ['in its whole namespace otherwise', { action: 'DENY', selector: { matchLabels: 7 } }, {}],
  ])('admits nobody %s', async (_, spec, scope) => {
    const policies = await stored(spec)
    expect(policies()).toMatchObject([{ ...scope, namespace: 'shop', action: 'ALLOW', rules: [] }])
    expect(Object.hasOwn((policies() as object[])[0] ?? {}, 'selector')).toBe('selector' in scope)
  })

  it('closes nothing where it only watches', async () => {
    expect((await stored({ action: 'AUDIT', x: 1 }))()).toEqual([])
    expect((await stored({ x: 1 }, { 'istio.io/dry-run': 'true' }))()).toEqual([])
  })

  it('takes no token for good', async () => {
    const client = new MemoryClient()
    const spec = { selector: { matchLabels: labels }, jwtRules: [{ issuer: 'a', jwks: 'x', jwksUri: 'https://a' }] }
    await client.create(REQUEST_AUTHENTICATIONS, { apiVersion, kind: 'RequestAuthentication', metadata, spec })
    const { latest } = await world(client)
    const found = [...(latest()?.security.requestAuthentications.values() ?? [])]
    expect(found).toMatchObject([{ selector: labels, rules: [{ issuer: 'nobody' }] }])
    await expect
      .poll(() => conditions(client, REQUEST_AUTHENTICATIONS as never))
      .toMatchObject([{ type: 'Invalid', message: expect.stringContaining('without one every token is refused') }])
  })

  it('wants mTLS, says so, and gives way to what it says once it is mended', async () => {
    const client = new MemoryClient()
    const policy = { apiVersion, kind: 'PeerAuthentication', metadata, spec: { mtls: { mode: 'OPEN' } } }
    await client.create(PEER_AUTHENTICATIONS, policy as never)
    const { latest } = await world(client)
    const modes = (): unknown => [...(latest()?.security.peerAuthentications.values() ?? [])].map(({ mode }) => mode)
    expect(modes()).toEqual(['STRICT'])
    await expect
      .poll(() => conditions(client, PEER_AUTHENTICATIONS as never))
      .toMatchObject([{ type: 'Invalid', message: expect.stringContaining('without one callers need mTLS') }])
    await client.patch(PEER_AUTHENTICATIONS, metadata, { spec: { mtls: { mode: 'DISABLE' } } }, { type: 'merge' })
    await expect.poll(modes).toEqual(['DISABLE'])
  })
})

describe('a kind that is stored only', () => {
  it('gets its condition beside those of others', async () => {
    const client = new MemoryClient()
    const theirs = {
      type: 'Reconciled',
      status: 'True',
      reason: 'Theirs',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    }
    const filter = {
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: { name: 'lua', namespace: 'shop' },
      spec: {},
      status: { conditions: [theirs] },
    }
    await client.create(ENVOY_FILTERS, filter)
    await client.replace(
      ENVOY_FILTERS,
      { ...filter, metadata: (await client.get(ENVOY_FILTERS, 'lua', 'shop'))?.metadata ?? filter.metadata },
      { subresource: 'status' },
    )
    await world(client)
    await expect.poll(() => conditions(client, ENVOY_FILTERS, 'lua')).toHaveLength(2)
    expect(await conditions(client, ENVOY_FILTERS, 'lua')).toMatchObject([
      theirs,
      { type: 'Unsupported', status: 'True', reason: 'KIND_UNSUPPORTED' },
    ])
  })
})

describe('sound objects', () => {
  it('are not written to', async () => {
    const client = new MemoryClient()
    await client.create(DESTINATION_RULES, rule('checkout.shop.svc.cluster.local'))
    await client.create(TELEMETRIES, {
      apiVersion: 'telemetry.istio.io/v1',
      kind: 'Telemetry',
      metadata: { name: 't', namespace: 'shop' },
      spec: {},
    })
    await world(client)
    expect(client.requests.filter(({ verb }) => verb === 'replace' || verb === 'patch')).toEqual([])
  })
})
