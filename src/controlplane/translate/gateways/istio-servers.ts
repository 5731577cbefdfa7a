/**
 * Istio's Gateways and the VirtualServices bound to them, as servers of an edge. The oldest Gateway comes first; several
 * VirtualServices for one host are joined, the oldest first (reference gateway-api, sections 6.2 and 6.5). Pure.
 */
import type { IstioGatewaySpec } from '../../../kube/kinds/networking.ts'
import type { TcpProxy } from '../../../model/config.ts'
import type { IstioGatewayFacts, VirtualServiceFacts } from '../../observe/facts-networking.ts'
import { byAge } from '../../observe/facts-networking.ts'
import { keyOf, type PodFacts, type ServiceFacts } from '../../observe/facts.ts'
import { targetPortOf } from '../inbound.ts'
import { routed } from '../istio/connection-chains.ts'
import { concerns, type Requests } from '../istio/http-match.ts'
import { httpRoutes } from '../istio/http-routes.ts'
import { hasLabels, isExportedTo, resolveHost } from '../istio/names.ts'
import type { Scope } from '../istio/scope.ts'
import { type Led, ledOf, partsOf } from '../istio/virtual-services.ts'
import { finder } from '../routes.ts'
import type { EdgeHost, EdgeServer, EdgeTlsRoute } from './edge.ts'
import { gatewayKeyOf, type ServerHost, serverHostOf, sharedHosts } from './istio-names.ts'
import { edgeTlsOf } from './istio-tls.ts'

export type ServerSpec = NonNullable<IstioGatewaySpec['servers']>[number]

export interface IstioEdgeInput {
  readonly gateways: ReadonlyMap<string, IstioGatewayFacts>
  readonly virtualServices: ReadonlyMap<string, VirtualServiceFacts>
  /** What the gateway's pod sees. */
  readonly scope: Scope
  readonly pod: PodFacts
  /** Those that select it: they say which of its own ports a server's number means. */
  readonly services: readonly ServiceFacts[]
}

export function istioServers(input: IstioEdgeInput): readonly EdgeServer[] {
  const { gateways, pod } = input
  const selecting = [...gateways.values()].filter(({ spec }) => hasLabels(pod.labels, spec.selector)).sort(byAge)
  if (selecting.length === 0) return []
  const bound = boundTo(selecting, input)
  return selecting.flatMap((gateway) =>
    (gateway.spec.servers ?? []).flatMap((spec) => serversOf(spec, { ...input, gateway, bound })),
  )
}

/** A VirtualService with what it delegates to, and the gateways it is for. */
interface Bound {
  readonly led: Led
  readonly hosts: readonly string[]
  readonly gateways: ReadonlySet<string>
}

function boundTo(
  gateways: readonly IstioGatewayFacts[],
  { virtualServices, scope }: Pick<IstioEdgeInput, 'virtualServices' | 'scope'>,
): readonly Bound[] {
  const keys = new Set(gateways.map(keyOf))
  return [...virtualServices.values()].sort(byAge).flatMap((root): readonly Bound[] => {
    const { spec, namespace } = root
    const named = new Set((spec.gateways ?? []).map((name) => gatewayKeyOf(name, namespace)))
    const isBound = [...named].some((key) => keys.has(key)) && isExportedTo(root, scope.caller.namespace)
    if (!isBound || spec.hosts === undefined) return []
    const hosts = spec.hosts.map((host) => resolveHost(host, namespace, scope.domain))
    return [{ led: ledOf(root, partsOf(root, virtualServices), scope.domain), hosts, gateways: named }]
  })
}

interface ServerInput extends IstioEdgeInput {
  readonly gateway: IstioGatewayFacts
  readonly bound: readonly Bound[]
}

/** One for each of the pod's ports that its number stands for. */
function serversOf(spec: ServerSpec, input: ServerInput): readonly EdgeServer[] {
  const { gateway, scope, pod } = input
  const open = spec.hosts.map((text) => serverHostOf(text, gateway.namespace, scope.domain))
  const asked = input.bound.filter(({ gateways }) => gateways.has(keyOf(gateway)))
  const serves = servesOf(spec, { ...input, open, bound: asked })
  if (serves === undefined) return []
  const tls = edgeTlsOf(spec, pod.namespace)
  const server = {
    name: `${keyOf(gateway)}/${spec.port.name}`,
    hosts: [...new Set(open.map(({ host }) => host))],
    ...(tls !== undefined && { tls }),
    serves,
  }
  return portsOf(spec.port.number, input).map((port) => Object.assign({ port }, server))
}

/** What a Service in front calls the port is its number in Gateways; without such a Service it is the pod's own. */
export function portsOf(
  number: number,
  { services, pod }: Pick<IstioEdgeInput, 'services' | 'pod'>,
): readonly number[] {
  const targets = services.flatMap(({ ports }) =>
    ports.filter(({ port }) => port === number).flatMap((port) => targetPortOf(port, pod) ?? []),
  )
  return targets.length === 0 ? [number] : [...new Set(targets)]
}

interface ServingInput extends ServerInput {
  readonly open: readonly ServerHost[]
}

const HTTP = new Set(['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'])

/** Undefined: nobody says where its bytes go, or it is of a kind that does not run here. */
function servesOf(spec: ServerSpec, input: ServingInput): EdgeServer['serves'] | undefined {
  const protocol = spec.port.protocol.toUpperCase()
  if (HTTP.has(protocol)) {
    const hosts = httpHosts(spec.port.number, input)
    return { kind: 'http', hosts, ...(spec.tls?.httpsRedirect === true && { redirectsToHttps: true }) }
  }
  const isSecure = protocol === 'HTTPS' || protocol === 'TLS'
  const mode = spec.tls?.mode ?? 'PASSTHROUGH'
  if (isSecure && mode === 'AUTO_PASSTHROUGH') return undefined
  if (isSecure && mode === 'PASSTHROUGH') {
    return { kind: 'passthrough', routes: tlsRoutes(spec.port.number, input) }
  }
  if (protocol === 'HTTPS') return { kind: 'http', hosts: httpHosts(spec.port.number, input) }
  const to = tcpOf(spec.port.number, input)
  return to && { kind: 'tcp', to }
}

/** What rules ask of those that a server hands on: the gateway is the caller. */
const requestsTo = (port: number, { led }: Bound, { scope, gateway }: ServingInput): Requests => ({
  caller: scope.caller,
  port,
  isFor: (gateways) => gateways.some((named) => gatewayKeyOf(named, led.namespace) === keyOf(gateway)),
})

function httpHosts(port: number, input: ServingInput): readonly EdgeHost[] {
  return input.bound.flatMap((bound): readonly EdgeHost[] => {
    const domains = sharedHosts(input.open, bound.hosts, bound.led.namespace)
    if (domains.length === 0) return []
    const routes = httpRoutes({
      routes: bound.led.http,
      requests: requestsTo(port, bound, input),
      find: finder(input.scope, bound.led.namespace, port),
    })
    return routes.length === 0 ? [] : [{ domains, routes }]
  })
}

function tlsRoutes(port: number, input: ServingInput): readonly EdgeTlsRoute[] {
  const { scope, open } = input
  return input.bound.flatMap((bound) => {
    const shared = sharedHosts(open, bound.hosts, bound.led.namespace).map((host) => ({ namespace: undefined, host }))
    return bound.led.tls.flatMap((route): readonly EdgeTlsRoute[] => {
      const requests = requestsTo(port, bound, input)
      const named = route.match.filter((match) => concerns(match, requests)).flatMap(({ sniHosts }) => sniHosts)
      const hosts = sharedHosts(
        shared,
        named.map((name) => name.toLowerCase()),
        '',
      )
      return hosts.length === 0 ? [] : [{ hosts, to: routed(route, { scope, led: bound.led, port }) }]
    })
  })
}

/** The first route that is for this server. */
function tcpOf(port: number, input: ServingInput): TcpProxy | undefined {
  for (const bound of input.bound) {
    if (sharedHosts(input.open, bound.hosts, bound.led.namespace).length === 0) continue
    const requests = requestsTo(port, bound, input)
    const route = bound.led.tcp.find(
      ({ match = [] }) => match.length === 0 || match.some((one) => concerns(one, requests)),
    )
    if (route !== undefined) return routed(route, { scope: input.scope, led: bound.led, port })
  }
  return undefined
}
