/**
 * Gateways of the Gateway API as servers of an edge: a listener is one, and for TLS that ends here with bytes inside,
 * one for each route. Whoever points into another namespace needs a ReferenceGrant there. Pure.
 */
import type { Route, TcpProxy } from '../../../model/config.ts'
import type { GatewayApiFacts, GatewayFacts } from '../../observe/facts-gateway-api.ts'
import { keyOf, type NamespaceFacts, type PodFacts, type ServiceFacts } from '../../observe/facts.ts'
import { allRoutes, type AnyRoute, type RouteKind } from '../gateway-api/attachments.ts'
import type { BackendRef, FindBackend } from '../gateway-api/backends.ts'
import { grpcRules } from '../gateway-api/grpc-rules.ts'
import { httpRules } from '../gateway-api/http-rules.ts'
import {
  attaching,
  GATEWAY_NAME_LABEL,
  isGranted,
  type Listener,
  namesGateway,
  ownGateways,
} from '../gateway-api/listeners.ts'
import { streamTo } from '../gateway-api/stream-chains.ts'
import { backendFinder } from '../gateway-api/virtual-host.ts'
import type { Scope } from '../istio/scope.ts'
import { OUTBOUND_TIMEOUT_MS } from '../targets.ts'
import { covers } from '../host-names.ts'
import type { EdgeHost, EdgeSecret, EdgeServer } from './edge.ts'
import { portsOf } from './istio-servers.ts'

export interface GatewayApiEdgeInput {
  readonly facts: GatewayApiFacts
  readonly namespaces: ReadonlyMap<string, NamespaceFacts>
  /** What the gateway's pod sees. */
  readonly scope: Scope
  readonly pod: PodFacts
  /** Those that select it: they say which of its own ports a listener's number means. */
  readonly services: readonly ServiceFacts[]
}

export function gatewayApiServers(input: GatewayApiEdgeInput): readonly EdgeServer[] {
  const { facts, pod } = input
  const name = pod.labels[GATEWAY_NAME_LABEL]
  if (name === undefined) return []
  const gateway = ownGateways(facts).find((one) => one.name === name && one.namespace === pod.namespace)
  if (gateway === undefined) return []
  const routes = allRoutes(facts)
  return gateway.spec.listeners.flatMap((listener) => serversOf({ ...input, gateway, listener, routes }))
}

interface ListenerInput extends GatewayApiEdgeInput {
  readonly gateway: GatewayFacts
  readonly listener: Listener
  readonly routes: readonly AnyRoute[]
}

/** A route, and the host names of the listener that it has. */
type OnListener<Kind extends RouteKind> = Extract<AnyRoute, { kind: Kind }>['route'] & {
  readonly hostnames: readonly string[]
}

function attachedTo<Kind extends RouteKind>(kind: Kind, input: ListenerInput): readonly OnListener<Kind>[] {
  const { routes, gateway } = input
  return routes.flatMap((of) => {
    if (of.kind !== kind) return []
    const hostnames = (of.route.spec.parentRefs ?? []).flatMap((ref) => {
      if (!namesGateway(ref, of.route.namespace, gateway)) return []
      const found = attaching(of, ref, input)
      return found.attached ? found.hostnames : []
    })
    return hostnames.length === 0
      ? []
      : [{ ...of.route, hostnames: [...new Set(hostnames)] } as unknown as OnListener<Kind>]
  })
}

function serversOf(input: ListenerInput): readonly EdgeServer[] {
  const { gateway, listener } = input
  const name = `${keyOf(gateway)}/${listener.name}`
  return listening(input).flatMap((server) =>
    portsOf(listener.port, input).map((port) => Object.assign({ name, port }, server)),
  )
}

type Listening = Omit<EdgeServer, 'name' | 'port'> & { readonly name?: string }

function listening(input: ListenerInput): readonly Listening[] {
  const { listener } = input
  const hosts = [listener.hostname ?? '*']
  if (listener.protocol === 'HTTP') return [{ hosts, serves: { kind: 'http', hosts: httpHosts(input) } }]
  if (listener.protocol === 'TCP') {
    const [route] = attachedTo('TCPRoute', input)
    return route === undefined ? [] : [{ hosts, serves: { kind: 'tcp', to: streamOf(route, 'TCPRoute', input) } }]
  }
  const { mode = 'Terminate' } = listener.tls ?? {}
  if (listener.protocol === 'TLS' && mode === 'Passthrough') {
    const routes = attachedTo('TLSRoute', input).map((route) => ({
      hosts: route.hostnames,
      to: streamOf(route, 'TLSRoute', input),
    }))
    return routes.length === 0 ? [] : [{ hosts, serves: { kind: 'passthrough', routes } }]
  }
  const tls = { certificates: certificatesOf(input), client: 'none' } as const
  // Without a certificate nothing is served: never in plaintext.
  if (tls.certificates.length === 0) return []
  if (listener.protocol === 'HTTPS') return [{ hosts, tls, serves: { kind: 'http', hosts: httpHosts(input) } }]
  if (listener.protocol !== 'TLS') return []
  return attachedTo('TLSRoute', input).map((route) => ({
    name: `${keyOf(input.gateway)}/${listener.name}/${keyOf(route)}`,
    hosts: route.hostnames,
    tls,
    serves: { kind: 'tcp', to: streamOf(route, 'TLSRoute', input) },
  }))
}

function certificatesOf({ gateway, listener, facts }: ListenerInput): readonly EdgeSecret[] {
  return (listener.tls?.certificateRefs ?? []).flatMap(({ group, kind, name, namespace = gateway.namespace }) => {
    if (group !== '' || kind !== 'Secret') return []
    const from = { kind: 'Gateway', namespace: gateway.namespace }
    const granted = isGranted(facts.referenceGrants.values(), { from, to: { group, kind, namespace, name } })
    if (!granted) return []
    return [{ namespace, name, ...(namespace !== gateway.namespace && { granted: true as const }) }]
  })
}

/** What a route of another namespace than its backend may reach. */
function finderFor(kind: RouteKind, { facts, scope, listener }: ListenerInput): FindBackend {
  const find = backendFinder(scope, listener.port)
  return (ref: BackendRef, namespace: string) => {
    const to = { group: ref.group, kind: ref.kind, namespace: ref.namespace ?? namespace, name: ref.name }
    const granted = isGranted(facts.referenceGrants.values(), { from: { kind, namespace }, to })
    return granted ? find(ref, namespace) : undefined
  }
}

const streamOf = (
  route: Parameters<typeof streamTo>[0],
  kind: 'TLSRoute' | 'TCPRoute',
  input: ListenerInput,
): TcpProxy => streamTo(route, finderFor(kind, input))

function httpHosts(input: ListenerInput): readonly EdgeHost[] {
  const http = attachedTo('HTTPRoute', input)
  const grpc = attachedTo('GRPCRoute', input)
  const domains = new Set([...http, ...grpc].flatMap(({ hostnames }) => hostnames))
  return [...domains].map((domain) => ({ domains: [domain], routes: routesFor(domain, { http, grpc }, input) }))
}

interface Requested {
  readonly http: readonly OnListener<'HTTPRoute'>[]
  readonly grpc: readonly OnListener<'GRPCRoute'>[]
}

/** Rules of routes with the more specific host name come first; those of others take what is left. */
function routesFor(domain: string, { http, grpc }: Requested, input: ListenerInput): readonly Route[] {
  const { listener } = input
  const entrance = { scheme: listener.protocol === 'HTTPS' ? 'https' : 'http', port: listener.port } as const
  const rules = { entrance, timeoutMs: OUTBOUND_TIMEOUT_MS }
  const names = new Set([...http, ...grpc].flatMap(({ hostnames }) => hostnames.filter((name) => covers(name, domain))))
  const ordered = [...names].sort((one, other) => weightOf(other) - weightOf(one))
  const placed = new Set<object>()
  const first = <R extends { readonly hostnames: readonly string[] }>(
    routes: readonly R[],
    name: string,
  ): readonly R[] => routes.filter((route) => route.hostnames.includes(name) && !placed.has(route))
  const built: Route[] = []
  for (const name of ordered) {
    const [calls, requests] = [first(grpc, name), first(http, name)]
    for (const route of [...calls, ...requests]) placed.add(route)
    built.push(...grpcRules(calls, { ...rules, find: finderFor('GRPCRoute', input) }))
    built.push(...httpRules(requests, { ...rules, find: finderFor('HTTPRoute', input) }))
  }
  return built
}

/** Names before wildcards, longer ones before shorter. */
const weightOf = (name: string): number => (name.startsWith('*') ? 0 : 1_000) + name.length
