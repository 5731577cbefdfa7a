/**
 * A sidecar's listeners in Envoy's form: its agent has the secrets, names that our proxies strip by themselves are listed,
 * and captured ports that chains speak of end in chains for every other address (Envoy looks no further once a port has
 * matched). Pure.
 */
import {
  ANY_HOST,
  type ConnectionRules,
  type FilterChain,
  type HttpFilterChain,
  type Listener,
  PASSTHROUGH_CLUSTER,
  type RouteTable,
  type TcpProxy,
  type VirtualHost,
} from '../../../model/config.ts'
import { PEER_HEADER } from '../../../model/names.ts'
import { FORBIDDEN_RANGES } from '../../../runtime/forbidden.ts'

/** Our proxy refuses these addresses on every outbound path by itself; captured connections alone can name them here. */
const FORBIDDEN: ConnectionRules = {
  kind: 'rbac',
  statPrefix: 'forbidden',
  rules: {
    action: 'deny',
    policies: {
      forbidden: {
        permissions: FORBIDDEN_RANGES.map((range) => Object.assign({ kind: 'destination-ip' as const }, range)),
        principals: [{ kind: 'any' }],
      },
    },
  },
}

/** Without endpoints: what goes there is closed. */
export const BLACK_HOLE_CLUSTER = 'BlackHoleCluster'

/** What no client may say: our proxies strip these by their prefixes, which Envoy cannot. */
const STRIPPED = [
  PEER_HEADER,
  'isthmus-version',
  'isthmus-avoid',
  'isthmus-endpoint',
  'x-envoy-peer-metadata',
  'x-envoy-peer-metadata-id',
]
const ANYONE = '*'
/** Our explicit proxy's answer for a host that nothing names. */
const UNKNOWN_STATUS = 502
/** The same table for captured requests, where a host that nothing names may be reached as it was dialled. */
export const capturedTable = (name: string): string => `${name}|captured`

export interface ListenerOptions {
  readonly forConnections: ReadonlyMap<string, string>
  /** Captured requests for hosts that nothing names go where they were going. */
  readonly passesUnknown: boolean
}

export function envoyListener(listener: Listener, options: ListenerOptions): Listener {
  if (listener.generic !== undefined || listener.api !== undefined) return listener
  const isOutbound = listener.capture?.direction === 'outbound'
  const chains = listener.chains.map((chain) => envoyChain(chain, isOutbound, options))
  return { ...listener, chains: listener.capture === undefined ? chains : closed(chains) }
}

function envoyChain(chain: FilterChain, isOutbound: boolean, options: ListenerOptions): FilterChain {
  const { tls, filter } = chain
  return {
    ...chain,
    ...(tls !== undefined && {
      tls: { ...tls, secrets: 'agent' as const, ...(chain.allow !== undefined && { admits: chain.allow }) },
    }),
    ...(isOutbound && { network: [FORBIDDEN, ...(chain.network ?? [])] }),
    filter: admitsNobody(chain)
      ? NOWHERE
      : filter.kind === 'tcp'
        ? envoyTcp(filter, options)
        : envoyHttp(filter, isOutbound),
  }
}

/** Envoy's filter judges the client's first byte; a server that speaks first would have spoken by then. */
const admitsNobody = ({ network = [] }: FilterChain): boolean =>
  network.some(({ rules }) => rules?.action === 'allow' && Object.keys(rules.policies).length === 0)

const NOWHERE: TcpProxy = { kind: 'tcp', statPrefix: BLACK_HOLE_CLUSTER, cluster: BLACK_HOLE_CLUSTER }

function envoyTcp(filter: TcpProxy, { forConnections }: ListenerOptions): TcpProxy {
  const nameOf = (cluster: string): string => forConnections.get(cluster) ?? cluster
  const { cluster, weighted } = filter
  return {
    ...filter,
    cluster: nameOf(cluster),
    ...(weighted !== undefined && {
      weighted: weighted.map((one) => Object.assign({}, one, { name: nameOf(one.name) })),
    }),
  }
}

function envoyHttp(filter: HttpFilterChain, isOutbound: boolean): HttpFilterChain {
  const { routes } = filter
  if (!('rds' in routes)) return { ...filter, envoy: true, routes: stripped(routes) }
  return { ...filter, envoy: true, routes: isOutbound ? { rds: capturedTable(routes.rds) } : routes }
}

/** Each port of a chain that names addresses, with the chains for all other addresses. */
function closed(chains: readonly FilterChain[]): readonly FilterChain[] {
  const rest = chains.filter(({ destinations, serverNames }) => destinations === undefined && serverNames.length === 0)
  const ports = new Set(chains.flatMap(({ destinations }) => (destinations === undefined ? [] : [destinations.port])))
  const keyOf = ({ protocol }: FilterChain, port: number): string => `${port} ${protocol ?? ''}`
  const taken = new Set(
    chains.flatMap((chain) =>
      chain.destinations?.addresses.length === 0 && chain.serverNames.length === 0
        ? [keyOf(chain, chain.destinations.port)]
        : [],
    ),
  )
  const added = [...ports]
    .sort((a, b) => a - b)
    .flatMap((port) =>
      rest
        .filter((chain) => !taken.has(keyOf(chain, port)))
        .map((chain): FilterChain =>
          Object.assign({}, chain, { name: `${chain.name}:${port}`, destinations: { addresses: [], port } }),
        ),
    )
  return [...chains, ...added]
}

function stripped(table: RouteTable): RouteTable {
  const { headers } = table
  const removeRequest = [...(headers?.removeRequest ?? []), ...STRIPPED]
  const removeResponse = [...(headers?.removeResponse ?? []), PEER_HEADER]
  return { ...table, headers: { ...headers, removeRequest, removeResponse } }
}

/** For the explicit proxy, and for captured requests. */
export function envoyTables(
  table: RouteTable,
  { passesUnknown }: Pick<ListenerOptions, 'passesUnknown'>,
): RouteTable[] {
  // Ours passes on what nobody knows at its explicit proxy too; Envoy has no cluster that goes where a host name says.
  const known = table.hosts.filter(({ name }) => name !== ANY_HOST)
  const bare = stripped({ ...table, hosts: known })
  const captured = { ...bare, name: capturedTable(table.name) }
  return [withLast(bare, REFUSED), withLast(captured, passesUnknown ? PASSED : REFUSED)]
}

function withLast(table: RouteTable, last: VirtualHost): RouteTable {
  if (table.hosts.some(({ domains }) => domains.includes(ANYONE))) return table
  return { ...table, hosts: [...table.hosts, last] }
}

const all = { kind: 'prefix', prefix: '/' } as const
const REFUSED: VirtualHost = {
  name: 'unknown',
  domains: [ANYONE],
  routes: [{ match: all, direct: { status: UNKNOWN_STATUS, body: '' } }],
}
const PASSED: VirtualHost = {
  name: 'unknown',
  domains: [ANYONE],
  routes: [{ match: all, cluster: PASSTHROUGH_CLUSTER, timeoutMs: 0 }],
}
