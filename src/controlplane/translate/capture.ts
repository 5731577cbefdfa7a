/**
 * Listeners of a pod whose connections the kernel leads through its sidecar: outbound by the addresses of services and
 * what their ports declare, inbound by the ports of the services that select the pod. Pure.
 */
import {
  type Cluster,
  type FilterChain,
  type HttpFilterChain,
  type Listener,
  PASSTHROUGH_CLUSTER,
} from '../../model/config.ts'
import { PORTS } from '../../model/ports.ts'
import { hostOf } from '../../model/sni.ts'
import { loopbackOf } from '../../runtime/network.ts'
import type { PodFacts, PortFacts, ServiceFacts } from '../observe/facts.ts'
import type { Host } from './hosts.ts'
import { CONNECT_TIMEOUT_MS } from './clusters.ts'
import { inboundHttp, inboundHttpTo, inboundTcp, targetPortOf } from './inbound.ts'
import { OUTBOUND_ROUTES } from './routes.ts'
import type { PodPolicies } from './security/pod-policies.ts'

export const CAPTURE_OUTBOUND = 'capture-outbound'
export const CAPTURE_INBOUND = 'capture-inbound'
/** Of listeners beside the first, for the pod's other address family. */
const IPV6_SUFFIX = '-ipv6'
/** Istio's name for requests to ports that no service names. */
const INBOUND_PASSTHROUGH = 'InboundPassthroughCluster'
/** In the names of counters: connections without certificate where one is required. */
const STRICT = 'strict'
/** What a client that speaks first needs, even on a busy machine; a server that speaks first is late by as much. */
const DETECT_MS = 100

const PASSTHROUGH: FilterChain = {
  name: 'passthrough',
  serverNames: [],
  filter: { kind: 'tcp', statPrefix: 'passthrough', cluster: PASSTHROUGH_CLUSTER },
}
const FORWARD: HttpFilterChain = {
  kind: 'http',
  statPrefix: OUTBOUND_ROUTES,
  mode: 'forward',
  routes: { rds: OUTBOUND_ROUTES },
}

/** Where the kernel leads connections of a pod's address, by family: what a process sends, to loopback. */
export const captureAddress = (ip: string): string => (ip.includes(':') ? '::1' : loopbackOf(ip))

/** One listener each. */
export const addressesOf = (pod: PodFacts): readonly string[] =>
  pod.ipv6 === undefined ? [pod.ip] : [pod.ip, pod.ipv6]

/** What a pod's connections may be for. */
export interface Reach {
  /** Of everything that is known, in the order that they match. */
  readonly chains: readonly FilterChain[]
  /** Anything else passes untouched; otherwise it is refused. */
  readonly passesUnknown: boolean
}

/** `address`: one of the pod's. */
export function captureOutbound(pod: PodFacts, { chains, passesUnknown }: Reach, address = pod.ip): Listener {
  const rest: FilterChain = { name: 'http', serverNames: [], protocol: 'http', filter: FORWARD }
  return {
    name: address === pod.ip ? CAPTURE_OUTBOUND : `${CAPTURE_OUTBOUND}${IPV6_SUFFIX}`,
    address: captureAddress(address),
    port: PORTS.outbound,
    chains: [...chains, rest, ...(passesUnknown ? [PASSTHROUGH] : [])],
    capture: { direction: 'outbound', detectMs: DETECT_MS },
  }
}

/** Requests name their host themselves: one chain serves all services of a port. */
export function requestChains(hosts: readonly Host[]): readonly FilterChain[] {
  return destinationsOf(hosts).map(({ protocol, port, addresses }): FilterChain => {
    const chain = { name: `${protocol}:${port}`, serverNames: [], destinations: { addresses, port }, filter: FORWARD }
    return protocol === 'http' ? chain : Object.assign(chain, { protocol: 'http' as const })
  })
}

/** What comes from elsewhere is led to the pod's own address; ports that no service names, as policies have it. */
export function captureInbound(
  pod: PodFacts,
  { services, domain, policies }: CaptureInboundInput,
  address = pod.ip,
): Listener {
  const chains = new Map<number, readonly FilterChain[]>()
  for (const service of services) {
    for (const port of service.ports) {
      const target = targetPortOf(port, pod)
      // Two services may share a port; whose name the plaintext gets is then the first's.
      if (target === undefined || chains.has(target)) continue
      const name = hostOf({ service: service.name, namespace: service.namespace, domain })
      const destinations = { addresses: [address], port: target }
      const sharing = services.filter((one) => one.ports.some((each) => targetPortOf(each, pod) === target))
      chains.set(
        target,
        inboundChains(port.protocol, { name, portName: port.name, destinations, target, policies, services: sharing }),
      )
    }
  }
  return {
    name: address === pod.ip ? CAPTURE_INBOUND : `${CAPTURE_INBOUND}${IPV6_SUFFIX}`,
    address,
    port: PORTS.inbound,
    chains: [...[...chains.values()].flat(), ...unnamedChains({ address, policies, named: chains })],
    capture: { direction: 'inbound', detectMs: DETECT_MS },
  }
}

interface CaptureInboundInput {
  readonly services: readonly ServiceFacts[]
  readonly domain: string
  readonly policies: PodPolicies
}

/** Ports that no service names: those of which a policy speaks, and all the rest. */
function unnamedChains({
  address,
  policies,
  named,
}: {
  readonly address: string
  readonly policies: PodPolicies
  readonly named: ReadonlyMap<number, unknown>
}): readonly FilterChain[] {
  const said = [...policies.modes.ports].filter(([port]) => !named.has(port)).sort(([a], [b]) => a - b)
  const ofPorts = said.map(([port, mode]): readonly FilterChain[] => {
    const chain = { ...PASSTHROUGH, name: `passthrough:${port}`, destinations: { addresses: [address], port } }
    return mode === 'STRICT' ? [refusing(chain)] : guardedUnnamed(chain, policies, address)
  })
  const rest =
    policies.modes.mode === 'STRICT' ? [refusing(PASSTHROUGH)] : guardedUnnamed(PASSTHROUGH, policies, address)
  return [...ofPorts.flat(), ...rest]
}

/**
 * Requests are read only where somebody has something to say about them: else whatever comes passes at once, and a
 * server that speaks first is not kept waiting for the client's first bytes.
 */
function guardedUnnamed(chain: FilterChain, policies: PodPolicies, address: string): readonly FilterChain[] {
  const place = { port: chain.destinations?.port, address, serverName: '', services: [] }
  const name = `${INBOUND_PASSTHROUGH}${place.port === undefined ? '' : `:${place.port}`}`
  const requests: FilterChain = { ...chain, name, protocol: 'http', filter: inboundHttpTo(INBOUND_PASSTHROUGH) }
  const judged = policies.guard(requests, place)
  const isJudged = judged.filter.kind === 'http' && judged.filter.filters !== undefined
  return [...(isJudged ? [judged] : []), policies.guard(chain, place)]
}

/** To the port that the client asked for, in the words it uses. */
export const INBOUND_PASSTHROUGH_CLUSTER: Cluster = {
  name: INBOUND_PASSTHROUGH,
  endpoints: { cluster: INBOUND_PASSTHROUGH, localities: [] },
  originalDst: {},
  lb: 'round-robin',
  connectTimeoutMs: CONNECT_TIMEOUT_MS,
  protocol: 'downstream',
}

export const readsUnnamed = ({ chains }: Listener): boolean =>
  chains.some(({ name }) => name.startsWith(INBOUND_PASSTHROUGH))

/** No one comes in without a certificate: closed before a byte is read. */
function refusing({ protocol: _any, ...chain }: FilterChain): FilterChain {
  const nobody = { kind: 'rbac', statPrefix: STRICT, rules: { action: 'allow', policies: {} } } as const
  return { ...chain, network: [nobody], filter: PASSTHROUGH.filter }
}

interface Target {
  readonly policies: PodPolicies
  readonly services: readonly ServiceFacts[]
  readonly name: string
  /** Of the service's port. */
  readonly portName: string
  readonly destinations: NonNullable<FilterChain['destinations']>
  readonly target: number
}

function inboundChains(
  protocol: PortFacts['protocol'],
  { name, portName, destinations, target, policies, services }: Target,
): readonly FilterChain[] {
  const chain = { name, serverNames: [], destinations }
  const tcp: FilterChain = { ...chain, filter: inboundTcp(target) }
  if (policies.modeAt(target) === 'STRICT') return [refusing(tcp)]
  const isGrpcWeb = services.some(({ ports }) =>
    ports.some((port) => port.isGrpcWeb === true && port.name === portName),
  )
  const place = { port: target, address: destinations.addresses[0] ?? '', serverName: '', services, isGrpcWeb }
  const guarded = (one: FilterChain): FilterChain => policies.guard(one, place)
  if (protocol === 'tcp') return [guarded(tcp)]
  const http: FilterChain = { ...chain, filter: inboundHttp(target) }
  if (protocol === 'http') return [guarded(http)]
  return [guarded({ ...chain, protocol: 'http', filter: http.filter }), guarded(tcp)]
}

interface Destinations {
  readonly protocol: 'http' | 'undeclared'
  readonly port: number
  readonly addresses: readonly string[]
}

/** Grouped as chains match them, in an order that does not depend on when a service was seen. */
function destinationsOf(hosts: readonly Host[]): readonly Destinations[] {
  const groups = new Map<string, { protocol: 'http' | 'undeclared'; port: number; addresses: string[] }>()
  for (const { addresses, ports } of hosts) {
    for (const { port, protocol = 'undeclared' } of ports) {
      if (protocol === 'tcp') continue
      const key = `${String(port).padStart(5, '0')} ${protocol}`
      const group = groups.get(key) ?? { protocol, port, addresses: [] }
      group.addresses.push(...addresses)
      groups.set(key, group)
    }
  }
  return (
    [...groups]
      .filter(([, { addresses }]) => addresses.length > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      // Hosts of one ServiceEntry share its addresses.
      .map(([, { protocol, port, addresses }]) => ({ protocol, port, addresses: [...new Set(addresses)].sort() }))
  )
}
