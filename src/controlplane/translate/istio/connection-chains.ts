/**
 * Captured connections whose bytes are not read: where they go is known by their address, or by the name in a
 * ClientHello; `tls` and `tcp` of VirtualServices say otherwise. Pure.
 */
import type { TcpRouteSpec, TlsRouteSpec } from '../../../kube/kinds/networking.ts'
import type { FilterChain, TcpProxy, VirtualHost, WeightedTcpCluster } from '../../../model/config.ts'
import { clusterName } from '../../../model/sni.ts'
import type { PortFacts } from '../../observe/facts.ts'
import { streamChains } from '../gateway-api/stream-chains.ts'
import type { Host } from '../hosts.ts'
import { finder } from '../routes.ts'
import { type PortPolicy, policyFor } from './destination-rules.ts'
import { concerns } from './http-match.ts'
import { matchesHost, resolveHost } from './names.ts'
import { hashOf } from './policy-cluster.ts'
import { milliseconds } from './retries.ts'
import type { Scope } from './scope.ts'
import { type Led, ledFor } from './virtual-services.ts'

/** An endpoint that cannot be reached is not the end of a connection that has sent nothing yet. */
const CONNECT_ATTEMPTS = 3
const HTTPS_PORT = 443

export function connectionChains(scope: Scope): readonly FilterChain[] {
  return onceEach([...scope.hosts.flatMap((host) => chainsOf(host, scope)), ...strangers(scope)])
}

/** Hosts of one ServiceEntry share its addresses: what comes to one without a name goes to the first of them. */
function onceEach(chains: readonly FilterChain[]): readonly FilterChain[] {
  const taken = new Set<string>()
  return chains.flatMap((chain) => {
    const { destinations, serverNames } = chain
    if (destinations === undefined || serverNames.length > 0) return [chain]
    const { port, addresses } = destinations
    const free = addresses.filter((address) => !taken.has(`${address}|${port}`))
    for (const address of free) taken.add(`${address}|${port}`)
    if (free.length === addresses.length) return [chain]
    return free.length === 0 ? [] : [{ ...chain, destinations: { port, addresses: free } }]
  })
}

function chainsOf(host: Host, scope: Scope): readonly FilterChain[] {
  const led = ledFor(scope.virtualServices, host.host)
  return host.ports.flatMap((port) => {
    if (port.protocol === 'http') return []
    const { attached } = scope.gatewayRoutes.at(host, port)
    const streams = attached && streamChains(attached, { host, port, scope })
    if (streams !== undefined) return host.addresses.length === 0 ? [] : streams
    const named = port.isTls === true ? namedChains(host, port, scope, led) : []
    if (host.addresses.length === 0) return named
    const destinations = { addresses: host.addresses, port: port.port }
    const filter = tcpOf(host, port, scope, led)
    return [...named, { name: `tcp:${port.port} ${host.host}`, serverNames: [], destinations, filter }]
  })
}

/**
 * For clients that ask an explicit proxy to connect them (RFC 9110 9.3.6), which is how they reach TLS outside the mesh.
 * Only hosts of ServiceEntries: a tunnel to a pod would go round what is said of requests to it.
 */
export function connectHosts(host: Host, scope: Scope, led: Led | undefined): readonly VirtualHost[] {
  if (host.isEntry !== true || host.host.startsWith('*')) return []
  return host.ports.flatMap((port): readonly VirtualHost[] => {
    if (port.protocol !== 'tcp') return []
    const [named] = port.isTls === true ? namedChains(host, port, scope, led) : []
    const filter = named?.filter.kind === 'tcp' ? named.filter : tcpOf(host, port, scope, led)
    const name = `${host.host}:${port.port}`
    const cluster = filter.weighted ?? filter.cluster
    return [{ name, domains: [name], routes: [{ match: { kind: 'connect' }, cluster, timeoutMs: 0 }] }]
  })
}

/** The first of the VirtualService's routes that is for this caller and port, else the service itself. */
function tcpOf(host: Host, { port }: PortFacts, scope: Scope, led: Led | undefined): TcpProxy {
  const requests = { caller: scope.caller, port }
  const route = led?.tcp.find(
    ({ match }) => match === undefined || match.length === 0 || match.some((one) => concerns(one, requests)),
  )
  if (led !== undefined && route !== undefined) return routed(route, { scope, led, port })
  return filterTo([{ host: host.host, port, subset: '', weight: 1 }], scope)
}

/** Hosts of one name have no address of their own to be known by; others have, and may have names beside it. */
function namedChains(host: Host, { port }: PortFacts, scope: Scope, led: Led | undefined): readonly FilterChain[] {
  const destinations = { addresses: host.addresses, port }
  // The first route for a name counts; two chains for one would be refused.
  const taken = new Set<string>()
  const chains = (led?.tls ?? []).flatMap((route) => {
    const names = namesOf(route, { scope, port }).filter(
      (name) => !taken.has(name) && (matchesHost(name, host.host) || matchesHost(host.host, name)),
    )
    if (led === undefined || names.length === 0) return []
    for (const name of names) taken.add(name)
    return [chainFor(names, destinations, routed(route, { scope, led, port }))]
  })
  if (host.isEntry !== true || taken.has(host.host)) return chains
  const own = filterTo([{ host: host.host, port, subset: '', weight: 1 }], scope)
  return [...chains, chainFor([host.host], destinations, own)]
}

/** Names that only a VirtualService knows. */
function strangers(scope: Scope): readonly FilterChain[] {
  const { exact, wildcards } = scope.virtualServices
  return [...exact, ...wildcards].flatMap(([name, led]) =>
    !scope.isStranger(name, led)
      ? []
      : led.tls.flatMap((route) => {
          const port = route.match.find((match) => match.port !== undefined)?.port ?? HTTPS_PORT
          const names = namesOf(route, { scope, port }).filter(
            (sni) => matchesHost(name, sni) && scope.isStranger(sni, led),
          )
          if (names.length === 0) return []
          return [chainFor(names, { addresses: [], port }, routed(route, { scope, led, port }))]
        }),
  )
}

const chainFor = (
  serverNames: readonly string[],
  destinations: NonNullable<FilterChain['destinations']>,
  filter: TcpProxy,
): FilterChain => ({ name: `tls:${destinations.port} ${serverNames[0] ?? ''}`, serverNames, destinations, filter })

function namesOf({ match }: TlsRouteSpec, { scope, port }: { readonly scope: Scope; readonly port: number }): string[] {
  const names = match.filter((one) => concerns(one, { caller: scope.caller, port })).flatMap(({ sniHosts }) => sniHosts)
  return [...new Set(names.map((name) => name.toLowerCase()))].filter(
    (name) => !name.includes('*') || name.startsWith('*.'),
  )
}

interface RoutedBy {
  readonly scope: Scope
  readonly led: Pick<Led, 'namespace'>
  readonly port: number
}

/** Where bytes go that a route of a VirtualService is for. */
export function routed({ route = [] }: TlsRouteSpec | TcpRouteSpec, { scope, led, port }: RoutedBy): TcpProxy {
  const total = route.reduce((sum, { weight = 0 }) => sum + weight, 0)
  const find = finder(scope, led.namespace, port)
  const targets = route.map(({ destination, weight = 0 }): TcpTarget => {
    const host = resolveHost(destination.host, led.namespace, scope.domain)
    const found = find(destination)
    return {
      host,
      cluster: found.cluster,
      port: destination.port?.number ?? port,
      subset: destination.subset ?? '',
      weight: total === 0 ? 1 : weight,
    }
  })
  return filterTo(
    targets.filter(({ weight }) => weight > 0),
    scope,
  )
}

interface TcpTarget {
  readonly host: string
  readonly port: number
  readonly subset: string
  readonly weight: number
  /** Absent: the service's own. */
  readonly cluster?: string
}

function filterTo(targets: readonly TcpTarget[], scope: Scope): TcpProxy {
  const clusters = targets.map(({ host, port, subset, weight, cluster }): WeightedTcpCluster => ({
    name: cluster ?? clusterName('outbound', port, host, subset),
    weight,
  }))
  const [first] = clusters
  const name = first?.name ?? 'nowhere'
  const common = {
    kind: 'tcp',
    statPrefix: name,
    connectAttemptsMax: CONNECT_ATTEMPTS,
    ...termsOf(targets[0], scope),
  } as const
  return clusters.length === 1 ? { ...common, cluster: name } : { ...common, cluster: '', weighted: clusters }
}

/** What the first destination's policy says of connections; all of them share one filter. */
function termsOf(
  target: TcpTarget | undefined,
  scope: Scope,
): Pick<TcpProxy, 'hashSourceIp' | 'idleMs' | 'durationMaxMs'> {
  const host = target && scope.byName.get(target.host)
  const rule = host && scope.ruleFor(host)
  if (rule === undefined || target === undefined) return {}
  const policy: PortPolicy = policyFor(rule, target.port, target.subset)
  const { idleTimeout, maxConnectionDuration } = policy.connectionPool?.tcp ?? {}
  const [idleMs, durationMaxMs] = [milliseconds(idleTimeout), milliseconds(maxConnectionDuration)]
  return {
    ...(hashOf(policy)?.kind === 'source-ip' && { hashSourceIp: true }),
    ...(idleMs !== undefined && { idleMs }),
    ...(durationMaxMs !== undefined && durationMaxMs > 0 && { durationMaxMs }),
  }
}
