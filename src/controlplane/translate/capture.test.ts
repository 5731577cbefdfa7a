import { describe, expect, it } from 'vitest'
import type { FilterChain } from '../../model/config.ts'
import { NO_GATEWAY_API, NO_NETWORKING, type PodFacts, type ServiceFacts } from '../observe/facts.ts'
import { readPod, readService } from '../observe/read.ts'
import { captureInbound, captureOutbound, type Reach, requestChains } from './capture.ts'
import { connectionChains } from './istio/connection-chains.ts'
import { Scopes } from './istio/scope.ts'
import { NO_SECURITY } from '../observe/facts.ts'
import { PodPolicies } from './security/pod-policies.ts'
import { listHosts } from './hosts.ts'

const pod: PodFacts = {
  namespace: 'shop',
  name: 'front',
  uid: 'u',
  ip: '10.12.1.2',
  serviceAccount: 'front',
  node: 'n1',
  workload: 'front',
  hasSidecar: true,
  captured: true,
  ready: true,
  labels: {},
  ports: { web: 8080 },
}
const service = (name: string, ip: string, ports: ServiceFacts['ports']): ServiceFacts => ({
  namespace: 'shop',
  name,
  ports,
  localFailover: true,
  addresses: ip === '' ? [] : [ip],
})
const mesh = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const hostsOf = (...services: ServiceFacts[]): Reach => {
  const hosts = listHosts({
    mesh,
    services: new Map(services.map((each) => [`shop/${each.name}`, each])),
    exports: new Map(),
    imports: new Map(),
    networking: NO_NETWORKING,
  })
  const scope = new Scopes().scopeOf({ mesh, networking: NO_NETWORKING, gatewayApi: NO_GATEWAY_API }, pod, hosts)
  return { passesUnknown: true, chains: [...requestChains(hosts), ...connectionChains(scope)] }
}
const summaryOf = ({ name, destinations, protocol, filter }: FilterChain): string =>
  [name, JSON.stringify(destinations?.addresses ?? []), destinations?.port ?? '', protocol ?? '', filter.kind].join(' ')

const policies = new PodPolicies({
  modes: { mode: 'PERMISSIVE', ports: new Map() },
  authorization: [],
  authentication: [],
  local: { trustDomain: 'east.demo', same: [] },
  settings: NO_SECURITY.settings,
  isHost: () => false,
  fetched: () => undefined,
})

describe('captureOutbound', () => {
  it('groups destinations by port and declared protocol, and detects only what nobody declared', () => {
    const listener = captureOutbound(
      pod,
      hostsOf(
        service('b', '10.12.64.2', [{ name: 'http', port: 80, protocol: 'http' }]),
        service('a', '10.12.64.1', [{ name: 'http', port: 80, protocol: 'http' }]),
        service('db', '10.12.64.3', [{ name: 'mysql', port: 3306, protocol: 'tcp' }]),
        service('any', '10.12.64.4', [{ name: '', port: 7000 }]),
        service('headless', '', [{ name: '', port: 9000 }]),
      ),
    )
    expect(listener).toMatchObject({ address: '127.0.0.1', port: 15001, capture: { direction: 'outbound' } })
    expect(listener.chains.map(summaryOf)).toEqual([
      'http:80 ["10.12.64.1","10.12.64.2"] 80  http',
      'undeclared:7000 ["10.12.64.4"] 7000 http http',
      'tcp:7000 any.shop.svc.cluster.local ["10.12.64.4"] 7000  tcp',
      'tcp:3306 db.shop.svc.cluster.local ["10.12.64.3"] 3306  tcp',
      'http []  http http',
      'passthrough []   tcp',
    ])
  })
})

describe('captureInbound', () => {
  it('serves the ports of the services that select the pod and passes the rest', () => {
    const services = [
      service('front', '10.12.64.1', [
        { name: 'http', port: 80, targetPort: 'web', protocol: 'http' },
        { name: 'x', port: 81, targetPort: 9000 },
      ]),
      service('other', '10.12.64.2', [{ name: '', port: 80, targetPort: 8080 }]),
    ]
    const listener = captureInbound(pod, {
      policies,
      services,
      domain: 'cluster.local',
    })
    expect(listener).toMatchObject({ address: pod.ip, port: 15006, capture: { direction: 'inbound' } })
    expect(listener.chains.map(summaryOf)).toEqual([
      'front.shop.svc.cluster.local ["10.12.1.2"] 8080  http',
      'front.shop.svc.cluster.local ["10.12.1.2"] 9000 http http',
      'front.shop.svc.cluster.local ["10.12.1.2"] 9000  tcp',
      'passthrough []   tcp',
    ])
  })
})

describe('a pod with an address of each family', () => {
  const dual: PodFacts = { ...pod, ipv6: 'fd00:10::2' }
  const hosts = hostsOf(service('db', 'fd00:96::3', [{ name: 'tcp', port: 5432, protocol: 'tcp' }]))

  it('is led to listeners of their own at loopback and at its address', () => {
    const outbound = captureOutbound(dual, hosts, dual.ipv6)
    expect(outbound).toMatchObject({ name: 'capture-outbound-ipv6', address: '::1', port: 15001 })
    expect(outbound.chains.map(summaryOf)).toContain('tcp:5432 db.shop.svc.cluster.local ["fd00:96::3"] 5432  tcp')
    const services = [service('front', '10.12.64.1', [{ name: 'tcp', port: 9000, protocol: 'tcp' }])]
    const inbound = captureInbound(dual, { policies, services, domain: 'cluster.local' }, dual.ipv6)
    expect(inbound).toMatchObject({ name: 'capture-inbound-ipv6', address: 'fd00:10::2', port: 15006 })
    expect(inbound.chains.map(summaryOf)[0]).toBe('front.shop.svc.cluster.local ["fd00:10::2"] 9000  tcp')
  })
})

describe('readPod', () => {
  it('keeps an IPv6 address beside the first', () => {
    const podIPs = [{ ip: '10.12.1.2' }, { ip: 'fd00:10::2' }]
    const read = (status: object): unknown =>
      readPod({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [] }, status })
    expect(read({ podIP: '10.12.1.2', podIPs })).toMatchObject({ ip: '10.12.1.2', ipv6: 'fd00:10::2' })
    expect(read({ podIP: 'fd00:10::2', podIPs: podIPs.slice(1) })).not.toHaveProperty('ipv6')
  })
})

describe('readService', () => {
  it.each([
    [{ name: 'http' }, 'http'],
    [{ name: 'grpc-web' }, 'http'],
    [{ name: 'http-admin' }, 'http'],
    [{ name: 'tcp-queue' }, 'tcp'],
    [{ name: 'mysql' }, 'tcp'],
    [{ name: 'https' }, 'tcp'],
    [{ name: 'web' }, undefined],
    [{ name: 'httpish' }, undefined],
    [{ name: 'tcp', appProtocol: 'kubernetes.io/h2c' }, 'http'],
    [{ name: 'http', appProtocol: 'redis' }, 'tcp'],
  ] as const)('%o declares %s', (port, protocol) => {
    const facts = readService({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'a', namespace: 'shop' },
      spec: { clusterIP: 'None', ports: [{ port: 80, ...port }] },
    })
    expect(facts?.ports[0]?.protocol).toBe(protocol)
    expect(facts?.addresses).toEqual([])
  })
})
