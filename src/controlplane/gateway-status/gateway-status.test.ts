/** What stands in the status of the Gateway API's objects, and who wrote it when. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import pino from 'pino'
import {
  BACKEND_TLS_POLICIES,
  GATEWAY_CLASSES,
  GATEWAYS,
  HTTP_ROUTES,
  type HttpRoute,
  TCP_ROUTES,
} from '../../kube/kinds/gateway-api.ts'
import type { Leadership } from '../../kube/lease-lock.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { MemoryClient } from '../../kube/testing/memory-client.ts'
import { systemClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { snapshotOf } from '../testing/snapshot-of.ts'
import { GatewayStatus } from './writer.ts'

const MESH = { mesh: 'demo.mesh', cluster: 'east', trustDomain: 'east.demo.mesh', domain: 'cluster.local' }

const service = (name: string, spec: object = {}): KubeObject =>
  ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: {
      clusterIP: '10.0.0.1',
      ports: [
        { name: 'http', port: 80 },
        { name: 'tcp', port: 9000 },
      ],
      ...spec,
    },
  }) as KubeObject
const SERVICES = [service('web'), service('api'), service('pods', { clusterIP: 'None' })]

const TO_WEB = [{ name: 'web', port: 80 }]
const WEB = { group: '', kind: 'Service', name: 'web' }

function route(spec: object, kind = 'HTTPRoute', name = 'r'): HttpRoute {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind,
    metadata: { name, namespace: 'shop', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { parentRefs: [WEB], rules: [{ backendRefs: TO_WEB }], ...spec },
  }
}

let client: MemoryClient
let leads: boolean
let listeners: ((leadership: Leadership) => void)[]
let status: GatewayStatus
beforeEach(() => {
  client = new MemoryClient()
  leads = true
  listeners = []
  status = new GatewayStatus({
    client,
    clock: systemClock,
    random: seededRandom(1),
    log: pino({ level: 'silent' }),
    leadership: {
      get isLeader() {
        return leads
      },
      onChange: (listener) => {
        listeners.push(listener)
        return () => {}
      },
    },
  })
})
afterEach(() => status.stop())

async function written(objects: readonly KubeObject[]): Promise<void> {
  status.set(snapshotOf({ mesh: MESH, objects: [...SERVICES, ...objects] }))
  await status.idle()
}

async function put<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
  return client.create(resource, object)
}

/** `Accepted=True/Accepted` */
async function said(name = 'r'): Promise<readonly string[][]> {
  const found = await client.get(HTTP_ROUTES, name, 'shop')
  return (found?.status?.parents ?? []).map(({ conditions }) =>
    conditions.map(({ type, status: value, reason }) => `${type}=${value}/${reason}`),
  )
}

const GOOD = ['Accepted=True/Accepted', 'ResolvedRefs=True/ResolvedRefs']
const EXTENSION = { type: 'ExtensionRef', extensionRef: { group: 'a.org', kind: 'B', name: 'c' } }

describe('a route', () => {
  it.each([
    ['that is sound', {}, GOOD],
    [
      'of a parent that is not there',
      { parentRefs: [{ ...WEB, name: 'x' }] },
      ['Accepted=False/NoMatchingParent', GOOD[1]],
    ],
    [
      'of a port that is not there',
      { parentRefs: [{ ...WEB, port: 81 }] },
      ['Accepted=False/NoMatchingParent', GOOD[1]],
    ],
    ['of a headless Service', { parentRefs: [{ ...WEB, name: 'pods' }] }, ['Accepted=False/NoMatchingParent', GOOD[1]]],
    ['of a port of bytes', { parentRefs: [{ ...WEB, port: 9000 }] }, ['Accepted=False/NoMatchingParent', GOOD[1]]],
    [
      'to a Service that is not there',
      { rules: [{ backendRefs: [{ name: 'x', port: 80 }] }] },
      [GOOD[0], 'ResolvedRefs=False/BackendNotFound'],
    ],
    [
      'to a port that is not there',
      { rules: [{ backendRefs: [{ name: 'web', port: 81 }] }] },
      [GOOD[0], 'ResolvedRefs=False/BackendNotFound'],
    ],
    [
      'to a port of bytes',
      { rules: [{ backendRefs: [{ name: 'web', port: 9000 }] }] },
      [GOOD[0], 'ResolvedRefs=False/UnsupportedProtocol'],
    ],
    [
      'to another kind',
      { rules: [{ backendRefs: [{ group: 'a.org', kind: 'B', name: 'c' }] }] },
      [GOOD[0], 'ResolvedRefs=False/InvalidKind'],
    ],
    [
      'whose only rule cannot be run',
      { rules: [{ filters: [EXTENSION], backendRefs: TO_WEB }] },
      ['Accepted=False/UnsupportedValue', GOOD[1]],
    ],
    [
      'of which one rule cannot be run',
      { rules: [{ filters: [EXTENSION], backendRefs: TO_WEB }, { backendRefs: TO_WEB }] },
      [...GOOD, 'PartiallyInvalid=True/UnsupportedValue'],
    ],
  ])('%s', async (_, spec, expected) => {
    await written([await put(HTTP_ROUTES, route(spec))])
    expect(await said()).toEqual([expected])
    const found = await client.get(HTTP_ROUTES, 'r', 'shop')
    expect(found?.status?.parents[0]?.controllerName).toBe('isthmus.dev/gateway-controller')
    expect(found?.status?.parents[0]?.conditions.map(({ observedGeneration }) => observedGeneration)).toEqual(
      expected.map(() => found?.metadata.generation),
    )
  })

  it('loses its port to a kind that goes before', async () => {
    const spec = { parentRefs: [{ ...WEB, name: 'api' }] }
    const ports = { services: [service('any', { ports: [{ name: 'p', port: 5000 }] })] }
    const parent = { parentRefs: [{ ...WEB, name: 'any' }] }
    const tcp = await put(TCP_ROUTES, route({ ...parent }, 'TCPRoute', 't') as never)
    const http = await put(HTTP_ROUTES, route(parent))
    await written([...ports.services, tcp, http, route(spec, 'HTTPRoute', 'unstored')])
    const found = await client.get(TCP_ROUTES, 't', 'shop')
    expect(found?.status?.parents[0]?.conditions[0]).toMatchObject({ status: 'False', reason: 'Conflicted' })
    expect(await said()).toEqual([GOOD])
  })

  it('keeps what others said, and loses our words with its parents', async () => {
    const others = { parentRef: WEB, controllerName: 'other.org/controller', conditions: [] }
    const stored = await put(HTTP_ROUTES, { ...route({}), status: { parents: [others] } })
    await client.replace(HTTP_ROUTES, { ...stored, status: { parents: [others] } }, { subresource: 'status' })
    await written([stored])
    const names = async (): Promise<unknown> =>
      (await client.get(HTTP_ROUTES, 'r', 'shop'))?.status?.parents.map(({ controllerName }) => controllerName)
    expect(await names()).toEqual(['other.org/controller', 'isthmus.dev/gateway-controller'])
    await written([route({ parentRefs: [] })])
    expect(await names()).toEqual(['other.org/controller'])
  })

  it('is written once for one judgement, and by the leader alone', async () => {
    leads = false
    const stored = await put(HTTP_ROUTES, route({}))
    await written([stored])
    expect(await said()).toEqual([])
    leads = true
    for (const listener of listeners) listener({ isLeader: true, epoch: 1 })
    await status.idle()
    expect(await said()).toEqual([GOOD])
    const version = async (): Promise<unknown> => (await client.get(HTTP_ROUTES, 'r', 'shop'))?.metadata.resourceVersion
    const before = await version()
    await written([stored])
    for (const listener of listeners) listener({ isLeader: true, epoch: 2 })
    await status.idle()
    expect(await version()).toBe(before)
  })
})

it('says of our class that it is accepted, and what it can do', async () => {
  const gatewayClass = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'isthmus' },
    spec: { controllerName: 'isthmus.dev/gateway-controller' },
  } as const
  await written([await put(GATEWAY_CLASSES, gatewayClass)])
  const found = await client.get(GATEWAY_CLASSES, 'isthmus')
  expect(found?.status?.conditions).toMatchObject([{ type: 'Accepted', status: 'True' }])
  const names = found?.status?.supportedFeatures?.map(({ name }) => name) ?? []
  expect(names).toContain('MeshClusterIPMatching')
  expect(names).toEqual(names.toSorted())
})

describe('a Gateway', () => {
  const gatewayClass = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'GatewayClass',
    metadata: { name: 'isthmus' },
    spec: { controllerName: 'isthmus.dev/gateway-controller' },
  }
  const gateway = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'edge', namespace: 'shop' },
    spec: {
      gatewayClassName: 'isthmus',
      listeners: [
        { name: 'http', port: 80, protocol: 'HTTP', hostname: '*.example.org' },
        { name: 'same', port: 80, protocol: 'TCP' },
        {
          name: 'https',
          port: 443,
          protocol: 'HTTPS',
          hostname: '*.example.com',
          tls: { certificateRefs: [{ name: 'c', namespace: 'far' }] },
        },
        { name: 'udp', port: 53, protocol: 'UDP' },
      ],
    },
  }
  const labels = { app: 'edge', 'isthmus.dev/gateway': 'ingress', 'gateway.networking.k8s.io/gateway-name': 'edge' }
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'edge-1', namespace: 'shop', labels },
    spec: { containers: [] },
    status: { podIP: '10.0.0.7', conditions: [{ type: 'Ready', status: 'True' }] },
  } as unknown as KubeObject
  const front = service('edge', { clusterIP: '10.0.0.77', selector: { app: 'edge' } })
  const attached = (spec: object): HttpRoute => route({ parentRefs: [{ name: 'edge' }], ...spec })

  it('has listeners that say what is wrong with each, and the addresses of the Service in front', async () => {
    const stored = await put(GATEWAYS, gateway)
    const http = await put(HTTP_ROUTES, attached({ hostnames: ['a.example.org'] }))
    await written([gatewayClass, stored, http, pod, front])
    const found = await client.get(GATEWAYS, 'edge', 'shop')
    const words = (conditions: readonly { type: string; status: string; reason: string }[] = []): string[] =>
      conditions.map(({ type, status: value, reason }) => `${type}=${value}/${reason}`)
    expect(words(found?.status?.conditions)).toEqual(['Accepted=True/Accepted', 'Programmed=True/Programmed'])
    expect(found?.status?.addresses).toEqual([{ type: 'IPAddress', value: '10.0.0.77' }])
    const listeners = (found?.status?.listeners ?? []).map(({ name, attachedRoutes, conditions }) => ({
      name,
      attachedRoutes,
      wrong: words(conditions).filter(
        (word) => !/^(Conflicted=False|\w+=True\/(Accepted|Programmed|ResolvedRefs)$)/.test(word),
      ),
    }))
    expect(listeners).toEqual([
      { name: 'http', attachedRoutes: 1, wrong: [] },
      {
        name: 'same',
        attachedRoutes: 0,
        wrong: ['Accepted=False/ProtocolConflict', 'Programmed=False/Invalid', 'Conflicted=True/ProtocolConflict'],
      },
      { name: 'https', attachedRoutes: 0, wrong: ['Programmed=False/Invalid', 'ResolvedRefs=False/RefNotPermitted'] },
      { name: 'udp', attachedRoutes: 0, wrong: ['Accepted=False/UnsupportedProtocol', 'Programmed=False/Invalid'] },
    ])
    expect(await said()).toEqual([GOOD])
  })

  it.each([
    ['of a host name that no listener has', { hostnames: ['a.org'] }, 'Accepted=False/NoMatchingListenerHostname'],
    [
      'of a section that is not there',
      { parentRefs: [{ name: 'edge', sectionName: 'x' }] },
      'Accepted=False/NoMatchingParent',
    ],
    [
      'of a port that lets in other kinds',
      { parentRefs: [{ name: 'edge', sectionName: 'same' }] },
      'Accepted=False/NotAllowedByListeners',
    ],
  ])('refuses a route %s', async (_, spec, expected) => {
    await written([gatewayClass, await put(GATEWAYS, gateway), await put(HTTP_ROUTES, attached(spec)), pod, front])
    expect((await said())[0]?.[0]).toBe(expected)
  })

  it('waits for a pod, and asks for leave to point elsewhere', async () => {
    const rules = [{ backendRefs: [{ name: 'web', namespace: 'far', port: 80 }] }]
    await written([gatewayClass, await put(GATEWAYS, gateway), await put(HTTP_ROUTES, attached({ rules }))])
    expect(await said()).toEqual([['Accepted=True/Accepted', 'ResolvedRefs=False/RefNotPermitted']])
    const found = await client.get(GATEWAYS, 'edge', 'shop')
    expect(found?.status?.conditions?.[1]).toMatchObject({ type: 'Programmed', status: 'False', reason: 'Pending' })
  })
})

it('says of a BackendTLSPolicy that it protects nothing', async () => {
  const policy = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'BackendTLSPolicy',
    metadata: { name: 'tls', namespace: 'shop' },
    spec: { targetRefs: [WEB], validation: { hostname: 'web.org', wellKnownCACertificates: 'System' } },
  }
  await written([await put(BACKEND_TLS_POLICIES, policy)])
  const found = await client.get(BACKEND_TLS_POLICIES, 'tls', 'shop')
  expect(found?.status?.ancestors).toMatchObject([
    { ancestorRef: WEB, conditions: [{ type: 'Accepted', status: 'False', reason: 'Invalid' }] },
  ])
})
