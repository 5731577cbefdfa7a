/**
 * One configuration compiled into the tables that requests read: pure, but for the cluster states it is handed, which
 * outlive configurations. What this proxy cannot run is returned as rejections that name the resource and the field.
 */
import {
  type Capture,
  DEFAULT_PATHS,
  type FilterChain,
  type HttpFilterChain,
  type Listener,
  MESH_UPGRADES,
  OWN_CERTIFICATE,
  type PathPolicy,
  type PrincipalRule,
  type ProxyConfig,
  type Rejection,
  type RouteTable,
  TRUST_BUNDLE,
} from '../model/config.ts'
import { captureFault, type CapturedChains, capturedChains } from './capture/chains.ts'
import type { ClusterState } from './balance/cluster.ts'
import { type CompiledFilters, compileFilters, NO_FILTERS } from './filters/policies.ts'
import { type CompiledRoutes, compileRoutes } from './routes.ts'
import { compileUpgrades, type UpgradeRules } from './upgrade.ts'

export type HttpMode = HttpFilterChain['mode']

export interface CompiledHttp {
  readonly kind: 'http'
  readonly mode: HttpMode
  readonly paths: PathPolicy
  readonly routes: CompiledRoutes | undefined
  readonly filters: CompiledFilters
  readonly upgrades: UpgradeRules
}

export interface CompiledChain {
  readonly name: string
  /** TLS is terminated here. */
  readonly tls: { readonly alpn: readonly string[] } | undefined
  readonly allow: PrincipalRule | undefined
  readonly filter:
    | CompiledHttp
    | { readonly kind: 'tcp'; readonly clusterName: string; readonly cluster: ClusterState | undefined }
}

export interface CompiledListener {
  readonly name: string
  readonly address: string
  readonly port: number
  /** The server name decides: the ClientHello is read first. */
  readonly peeks: boolean
  readonly byName: ReadonlyMap<string, CompiledChain>
  readonly rest: CompiledChain | undefined
  readonly capture: CompiledCapture | undefined
}

export interface CompiledCapture extends Capture {
  readonly chains: CapturedChains
}

export interface CompileInput {
  readonly config: ProxyConfig
  readonly clusters: ReadonlyMap<string, ClusterState>
  readonly modes: ReadonlySet<HttpMode>
  /** Tables of the snapshot before; reused where neither table nor clusters changed. */
  readonly reuse: (table: RouteTable) => CompiledRoutes | undefined
}

export interface CompileResult {
  readonly listeners: ReadonlyMap<string, CompiledListener>
  readonly routes: ReadonlyMap<RouteTable, CompiledRoutes>
  readonly rejected: readonly Rejection[]
}

export function compile(input: CompileInput): CompileResult {
  const routes = new Map<RouteTable, CompiledRoutes>()
  const compiledOf = (table: RouteTable): CompiledRoutes => {
    const known = routes.get(table) ?? input.reuse(table)
    const compiled = known ?? compileRoutes(table, (name) => input.clusters.get(name))
    routes.set(table, compiled)
    return compiled
  }
  const listeners = new Map<string, CompiledListener>()
  const rejected: Rejection[] = []
  for (const listener of input.config.listeners.values()) {
    const fault = findFault(listener, input)
    if (fault === undefined) listeners.set(listener.name, compileListener(listener, input, compiledOf))
    else rejected.push({ kind: 'listener', resource: listener.name, ...fault })
  }
  return { listeners, routes, rejected }
}

function findFault(listener: Listener, input: CompileInput): Pick<Rejection, 'path' | 'message'> | undefined {
  const captured = captureFault(listener)
  if (captured !== undefined) return captured
  for (const [index, chain] of listener.chains.entries()) {
    const message = chainFault(chain, input)
    if (message !== undefined) return { path: `filter_chains[${index}]`, message }
  }
  const names = listener.chains.flatMap((chain) => chain.serverNames)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return { path: 'filter_chains', message: `two chains for server name ${twice}` }
  return undefined
}

function chainFault(chain: FilterChain, input: CompileInput): string | undefined {
  const { tls, filter } = chain
  if (filter.kind === 'http' && !input.modes.has(filter.mode)) return `this role does not run mode ${filter.mode}`
  if (tls === undefined) {
    if (chain.allow !== undefined) return 'a rule about certificates without TLS admits no one'
    // Server names are only seen in TLS, and HTTP can only be read where TLS is terminated.
    return filter.kind === 'http' && chain.serverNames.length > 0 ? 'server names without TLS' : undefined
  }
  if (tls.certificate !== OWN_CERTIFICATE) return `no certificate named ${tls.certificate}`
  if (tls.validation !== TRUST_BUNDLE) return `no bundle named ${tls.validation}`
  if (filter.kind === 'tcp') return 'TLS termination before TCP is not built'
  return tls.alpn.includes('h2') ? undefined : 'mesh connections speak h2'
}

function compileListener(
  listener: Listener,
  input: CompileInput,
  compiledOf: (table: RouteTable) => CompiledRoutes,
): CompiledListener {
  const byName = new Map<string, CompiledChain>()
  const pairs: [FilterChain, CompiledChain][] = []
  let rest: CompiledChain | undefined
  for (const chain of listener.chains) {
    const compiled = compileChain(chain, input, compiledOf)
    pairs.push([chain, compiled])
    for (const name of chain.serverNames) byName.set(name, compiled)
    if (chain.serverNames.length === 0) rest ??= compiled
  }
  const peeks = byName.size > 0 || rest?.tls !== undefined
  const { name, address, port } = listener
  const capture = listener.capture === undefined ? undefined : { ...listener.capture, chains: capturedChains(pairs) }
  return { name, address, port, peeks, byName, rest, capture }
}

function compileChain(
  chain: FilterChain,
  input: CompileInput,
  compiledOf: (table: RouteTable) => CompiledRoutes,
): CompiledChain {
  const { filter } = chain
  const common = {
    name: chain.name,
    tls: chain.tls === undefined ? undefined : { alpn: chain.tls.alpn },
    allow: chain.allow,
  }
  if (filter.kind === 'tcp') {
    const cluster = input.clusters.get(filter.cluster)
    return { ...common, filter: { kind: 'tcp', clusterName: filter.cluster, cluster } }
  }
  const table = 'rds' in filter.routes ? input.config.routes.get(filter.routes.rds) : filter.routes
  const routes = table === undefined ? undefined : compiledOf(table)
  return {
    ...common,
    filter: {
      kind: 'http',
      mode: filter.mode,
      paths: filter.paths ?? DEFAULT_PATHS,
      routes,
      filters: compileFilters(filter.filters, NO_FILTERS),
      upgrades: compileUpgrades(filter.upgrades ?? MESH_UPGRADES),
    },
  }
}
