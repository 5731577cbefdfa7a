/**
 * Captured connections to a port that TLSRoutes or TCPRoutes speak for. TLS is told apart by the name that the client
 * asks for, exact names before the longest wildcard; what no route takes is closed. Pure.
 */
import type { FilterChain, TcpProxy, WeightedTcpCluster } from '../../../model/config.ts'
import type { PortFacts } from '../../observe/facts.ts'
import type { Host } from '../hosts.ts'
import type { Scope } from '../istio/scope.ts'
import type { Attached } from './attachments.ts'
import { type FindBackend, invalidCluster, type WeighedRef } from './backends.ts'
import { backendFinder } from './virtual-host.ts'

/** An endpoint that cannot be reached is not the end of a connection that has sent nothing yet. */
const CONNECT_ATTEMPTS = 3

type Destinations = NonNullable<FilterChain['destinations']>

/** Undefined: the routes speak of requests. */
export function streamChains(
  attached: Attached,
  { host, port, scope }: { readonly host: Host; readonly port: PortFacts; readonly scope: Scope },
): readonly FilterChain[] | undefined {
  const destinations = { addresses: host.addresses, port: port.port }
  const name = `tcp:${port.port} ${host.host}`
  if (attached.kind === 'TCPRoute') {
    // Bytes look alike: of two routes the older has them all.
    const filter = streamTo(attached.routes[0], backendFinder(scope, port.port))
    return [{ name, serverNames: [], destinations, filter }]
  }
  if (attached.kind !== 'TLSRoute') return undefined
  return [...tlsChains(attached.routes, { destinations, scope, port: port.port }), closed(name, destinations)]
}

interface TlsInput {
  readonly destinations: Destinations
  readonly scope: Scope
  readonly port: number
}

/** A name belongs to the oldest route that has it. */
function tlsChains(routes: Extract<Attached, { kind: 'TLSRoute' }>['routes'], input: TlsInput): readonly FilterChain[] {
  const taken = new Set<string>()
  return routes.flatMap((route): FilterChain[] => {
    const serverNames = [...new Set(route.spec.hostnames)].filter((hostname) => !taken.has(hostname))
    for (const hostname of serverNames) taken.add(hostname)
    if (serverNames.length === 0) return []
    const { destinations, scope, port } = input
    const name = `tls:${port} ${route.namespace}/${route.name}`
    return [{ name, serverNames, destinations, filter: streamTo(route, backendFinder(scope, port)) }]
  })
}

export interface StreamRoute {
  readonly namespace: string
  readonly spec: { readonly rules: readonly { readonly backendRefs: readonly WeighedRef[] }[] }
}

/** By weight; the share of what is no backend is closed. */
export function streamTo(route: StreamRoute | undefined, find: FindBackend): TcpProxy {
  const refs = (route?.spec.rules ?? []).flatMap(({ backendRefs }) => backendRefs).filter(({ weight }) => weight > 0)
  const clusters = refs.map((ref): WeightedTcpCluster => ({
    name: find(ref, route?.namespace ?? '')?.cluster ?? invalidCluster(ref),
    weight: ref.weight,
  }))
  const [first] = clusters
  const name = first?.name ?? 'nowhere'
  const common = { kind: 'tcp', statPrefix: name, connectAttemptsMax: CONNECT_ATTEMPTS } as const
  return clusters.length < 2 ? { ...common, cluster: name } : { ...common, cluster: '', weighted: clusters }
}

/** Before a byte is carried. */
function closed(name: string, destinations: Destinations): FilterChain {
  const nobody = { kind: 'rbac', statPrefix: 'unrouted', rules: { action: 'allow', policies: {} } } as const
  const filter = { kind: 'tcp', statPrefix: 'nowhere', cluster: 'nowhere' } as const
  return { name, serverNames: [], destinations, network: [nobody], filter }
}
