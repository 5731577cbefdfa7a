/**
 * An edge in the words of listeners, chains and route tables. Which of two servers is served where both cannot be is
 * decided here and returned as a conflict, never passed over; the rest of a port stays up. Pure.
 */
import type {
  GenericChain,
  HttpFilterChain,
  HttpSettings,
  Listener,
  RouteTable,
  TcpProxy,
} from '../../../model/config.ts'
import { DEFAULT_PATHS } from '../../../model/config.ts'
import { joinedHosts, tableOf, withMisdirected } from './edge-hosts.ts'
import { secretsOf, serverTlsOf } from './edge-tls.ts'
import type { Edge, EdgeConflict, EdgeSecret, EdgeServer, EdgeSettings } from './edge.ts'

export interface EdgeConfig {
  readonly listeners: readonly Listener[]
  readonly routes: readonly RouteTable[]
  /** Those that a handshake needs. */
  readonly secrets: readonly EdgeSecret[]
  readonly conflicts: readonly EdgeConflict[]
}

/** What stands before a chain's requests or bytes. `hosts`: empty where the chain is for any. */
export type Guard = (chain: GenericChain, place: { readonly port: number; readonly server: string }) => GenericChain

export function edgeConfig(edge: Edge, guard: Guard = (chain) => chain): EdgeConfig {
  const conflicts: EdgeConflict[] = []
  const ports = byPort(edge.servers, conflicts)
  const built = [...ports].map(([port, servers]) => portOf({ port, servers, edge, guard, conflicts }))
  const routes = built.flatMap((one) => one.routes)
  return {
    listeners: built.map(({ listener }) => listener),
    routes,
    secrets: edge.servers.flatMap(({ tls }) => secretsOf(tls)),
    conflicts,
  }
}

/** Where the table of a port's plaintext requests stands; each server with TLS has one of its own. */
export const plainTableOf = (port: number): string => `http.${port}`
/** A slash would make it a virtual host of another table (VHDS). */
export const tlsTableOf = (port: number, server: string): string => `https.${port}.${server.replaceAll('/', '|')}`

type Family = 'plaintext HTTP' | 'plaintext TCP' | 'TLS'

function familyOf({ tls, serves }: EdgeServer): Family {
  if (tls !== undefined || serves.kind === 'passthrough') return 'TLS'
  return serves.kind === 'http' ? 'plaintext HTTP' : 'plaintext TCP'
}

/** The first server of a port says what is spoken there. */
function byPort(servers: readonly EdgeServer[], conflicts: EdgeConflict[]): ReadonlyMap<number, readonly EdgeServer[]> {
  const ports = new Map<number, EdgeServer[]>()
  for (const server of servers) {
    const { port, name } = server
    const there = ports.get(port)
    const [first] = there ?? []
    if (there === undefined || first === undefined) {
      ports.set(port, [server])
      continue
    }
    const family = familyOf(server)
    if (family !== familyOf(first)) conflicts.push({ server: name, with: first.name, port, kind: 'protocol' })
    else if (family === 'plaintext TCP') conflicts.push({ server: name, with: first.name, port, kind: 'port' })
    else there.push(server)
  }
  return new Map([...ports].sort(([one], [other]) => one - other))
}

interface PortInput {
  readonly port: number
  readonly servers: readonly EdgeServer[]
  readonly edge: Edge
  readonly guard: Guard
  readonly conflicts: EdgeConflict[]
}

interface BuiltPort {
  readonly listener: Listener
  readonly routes: readonly RouteTable[]
}

function portOf(input: PortInput): BuiltPort {
  const { port, servers, edge } = input
  const [first] = servers
  const isTls = first !== undefined && familyOf(first) === 'TLS'
  const { chains, routes, rest } = isTls ? tlsPort(input) : plainPort(input)
  const listener: Listener = {
    name: `edge_${port}`,
    address: edge.address,
    port,
    chains: [],
    generic: {
      // Which server a ClientHello is for is known before any handshake.
      inspect: isTls ? { tls: true } : {},
      chains,
      ...(rest !== undefined && { defaultChain: rest }),
    },
  }
  return { listener, routes }
}

interface Chains {
  readonly chains: readonly GenericChain[]
  readonly routes: readonly RouteTable[]
  readonly rest?: GenericChain
}

/** Requests name their host themselves: one chain for all servers, and one table. */
function plainPort({ port, servers, edge, guard }: PortInput): Chains {
  const [first] = servers
  if (first?.serves.kind === 'tcp') {
    const { name, serves } = first
    return { chains: [], routes: [], rest: guard({ name, filter: serves.to }, { port, server: name }) }
  }
  const name = plainTableOf(port)
  const chain: GenericChain = { name, filter: httpTo(name, edge.settings) }
  return {
    chains: [],
    routes: [tableOf(name, joinedHosts(servers))],
    rest: guard(chain, { port, server: first?.name ?? '' }),
  }
}

/** A server name belongs to the first server that has it. */
function tlsPort(input: PortInput): Chains {
  const { servers, port, conflicts } = input
  const taken = new Map<string, string>()
  const chains: GenericChain[] = []
  const routes: RouteTable[] = []
  const claim = (names: readonly string[], server: string): readonly string[] =>
    names.filter((host) => {
      const owner = taken.get(host)
      if (owner === undefined) taken.set(host, server)
      else if (owner !== server) conflicts.push({ server, with: owner, port, kind: 'host', host })
      return owner === undefined
    })
  for (const server of servers) {
    if (server.serves.kind === 'passthrough') {
      // What it has no route for is refused, also where a wildcard of another server would take it.
      for (const { hosts, to } of server.serves.routes) {
        const names = claim(hosts, server.name)
        if (names.length > 0) chains.push(guarded(server, matching(names), to, input))
      }
      continue
    }
    const names = claim(server.hosts, server.name)
    if (names.length === 0) continue
    const { filter, table } = terminated(server, names, input)
    if (table !== undefined) routes.push(table)
    chains.push(guarded(server, matching(names), filter, input))
  }
  return { chains, routes }
}

function terminated(
  { name, serves, hosts: _all, ...server }: EdgeServer,
  hosts: readonly string[],
  { port, servers, edge }: PortInput,
): { readonly filter: HttpFilterChain | TcpProxy; readonly table?: RouteTable } {
  if (serves.kind === 'tcp') return { filter: serves.to }
  const table = tlsTableOf(port, name)
  const others = servers.filter((other) => other.name !== name).flatMap((other) => other.hosts)
  const joined = joinedHosts([{ name, serves, hosts, ...server }])
  return { filter: httpTo(table, edge.settings), table: tableOf(table, withMisdirected(joined, hosts, others)) }
}

const matching = (names: readonly string[]): NonNullable<GenericChain['match']> =>
  names.includes('*') ? { transport: 'tls' } : { serverNames: names }

function guarded(
  { name, tls, serves }: EdgeServer,
  match: NonNullable<GenericChain['match']>,
  filter: HttpFilterChain | TcpProxy,
  { port, guard }: PortInput,
): GenericChain {
  const chain: GenericChain = {
    name: serves.kind === 'passthrough' ? `${name} ${(match.serverNames ?? ['*']).join(',')}` : name,
    match,
    ...(tls !== undefined && { tls: serverTlsOf(tls, serves.kind === 'http') }),
    filter,
  }
  return guard(chain, { port, server: name })
}

/** Of a request's head; a slow one must not hold a connection (reference: security, attack 9). */
const HEAD_MS = 15_000
/** Envoy's advice for the edge: as many streams as a browser needs, and no crowd on one connection. */
const STREAMS_MAX = 100
const SERVER_NAME = 'isthmus'

function httpTo(table: string, settings: EdgeSettings): HttpFilterChain {
  return {
    kind: 'http',
    statPrefix: table,
    mode: 'reverse',
    routes: { rds: table },
    paths: settings.paths ?? DEFAULT_PATHS,
    upgrades: [{ type: 'websocket', enabled: true }],
    http: httpSettingsOf(settings),
  }
}

function httpSettingsOf({ trustedProxies, clientCertificate }: EdgeSettings): HttpSettings {
  const told = { subject: true, dns: true, uri: true } as const
  return {
    // The connection says who the client is, and as many hops before it as are trusted.
    useRemoteAddress: true,
    ...(trustedProxies > 0 && { trustedHops: trustedProxies }),
    ...(clientCertificate === undefined && { clientCertificate: { mode: 'set', ...told } }),
    ...(clientCertificate === 'append' && { clientCertificate: { mode: 'append', ...told } }),
    ...(clientCertificate === 'forward' && { clientCertificate: { mode: 'forward' } }),
    ...(clientCertificate === 'always' && { clientCertificate: { mode: 'always' } }),
    serverName: SERVER_NAME,
    requestHeadMs: HEAD_MS,
    streamsMax: STREAMS_MAX,
  }
}
