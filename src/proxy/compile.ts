/**
 * One configuration compiled into the tables that requests read: pure, but for the cluster states it is handed, which
 * outlive configurations. What this proxy cannot run is returned as rejections that name the resource and the field.
 */
import {
  ALPN_TCP,
  type Capture,
  DEFAULT_FILTERS,
  DEFAULT_PATHS,
  type FilterChain,
  type GenericChain,
  type GenericListener,
  type GenericSecret,
  type HttpFilterChain,
  type Listener,
  MESH_UPGRADES,
  OWN_CERTIFICATE,
  type PathPolicy,
  type PrincipalRule,
  type ProxyConfig,
  type Rejection,
  type RouteTable,
  type TcpProxy,
  TRUST_BUNDLE,
} from '../model/config.ts'
import { captureFault, type CapturedChains, capturedChains } from './capture/chains.ts'
import type { ClusterState } from './balance/cluster.ts'
import { CompileFault } from './data-source.ts'
import { CompiledFilters } from './filter-chain.ts'
import { NetworkFilters } from './l4/network-filters.ts'
import { type CompiledTcp, TCP_DEFAULTS } from './l4/session.ts'
import { TcpTargets } from './l4/targets.ts'
import { type CompiledGeneric, compileGeneric, hiddenChain, type TlsContexts } from './reverse/compile-listener.ts'
import type { Survivors } from './survivors.ts'
import type { FilterEnvironment, LastingEnvironment } from './filters/kind.ts'
import { LocalReplies } from './reverse/local-replies.ts'
import { ReverseHttp } from './reverse/reverse-http.ts'
import { TlsFault } from './reverse/tls-files.ts'
import { type CompiledRoutes, compileRoutes } from './routes.ts'
import type { LogCompiler, StreamLogs } from './access-log/logs.ts'
import type { ListenerCounters } from './stats/scopes.ts'
import type { Stats } from './stats/store.ts'
import type { HttpTelemetry } from './telemetry.ts'
import type { TracerCompiler } from './tracing/tracers.ts'
import { compileUpgrades, type UpgradeRules } from './upgrade.ts'

export type HttpMode = HttpFilterChain['mode']

export interface CompiledHttp {
  readonly kind: 'http'
  readonly mode: HttpMode
  readonly paths: PathPolicy
  readonly routes: CompiledRoutes | undefined
  readonly filters: CompiledFilters
  readonly telemetry: HttpTelemetry
  readonly upgrades: UpgradeRules
  /** Mode `reverse` only. */
  readonly reverse: ReverseHttp | undefined
}

export interface CompiledChain {
  readonly name: string
  /** TLS is terminated here. */
  readonly tls: { readonly alpn: readonly string[] } | undefined
  readonly allow: PrincipalRule | undefined
  /** Of the mesh's own listeners: judged before a byte is carried. */
  readonly network: NetworkFilters | undefined
  readonly filter: CompiledHttp | CompiledTcp
}

export interface CompiledListener {
  readonly name: string
  readonly stats: ListenerCounters
  readonly logs: StreamLogs | undefined
  readonly address: string
  readonly port: number
  /** The server name decides: the ClientHello is read first. */
  readonly peeks: boolean
  /** By server name, and by `name protocol` where a chain asks for an application protocol. */
  readonly byName: ReadonlyMap<string, CompiledChain>
  readonly rest: CompiledChain | undefined
  readonly capture: CompiledCapture | undefined
  readonly generic: CompiledGeneric | undefined
}

export interface CompiledCapture extends Capture {
  readonly chains: CapturedChains
}

export interface CompileInput {
  readonly config: ProxyConfig
  readonly clusters: ReadonlyMap<string, ClusterState>
  /** What filters have from the proxy, whatever the configuration. */
  readonly lasting: LastingEnvironment
  readonly modes: ReadonlySet<HttpMode>
  readonly stats: Stats
  readonly logs: LogCompiler
  readonly tracers: TracerCompiler
  /** Tables of the snapshot before; reused where neither table nor clusters changed. */
  readonly reuse: (table: RouteTable) => CompiledRoutes | undefined
  readonly tlsContexts: TlsContexts
  readonly survivors: Survivors
}

export interface CompileResult {
  readonly listeners: ReadonlyMap<string, CompiledListener>
  readonly routes: ReadonlyMap<RouteTable, CompiledRoutes>
  readonly rejected: readonly Rejection[]
}

export function compile(input: CompileInput): CompileResult {
  input.survivors.begin()
  const routes = new Map<RouteTable, CompiledRoutes>()
  const compiledOf = (table: RouteTable): CompiledRoutes => {
    const known = routes.get(table)
    if (known !== undefined) return known
    const compiled = input.reuse(table) ?? compileTable(table, input)
    input.survivors.claim(compiled.kept)
    routes.set(table, compiled)
    return compiled
  }
  const listeners = new Map<string, CompiledListener>()
  const rejected: Rejection[] = []
  for (const listener of input.config.listeners.values()) {
    const compiled = findFault(listener, input) ?? tryListener(listener, input, compiledOf)
    if ('message' in compiled) rejected.push({ kind: 'listener', resource: listener.name, ...compiled })
    else listeners.set(listener.name, compiled)
  }
  return { listeners, routes, rejected }
}

type ListenerFault = Pick<Rejection, 'path' | 'message'>

function tryListener(
  listener: Listener,
  input: CompileInput,
  compiledOf: (table: RouteTable) => CompiledRoutes,
): CompiledListener | ListenerFault {
  try {
    return compileListener(listener, input, compiledOf)
  } catch (error) {
    if (!(error instanceof CompileFault)) throw error
    return { path: 'filter_chains', message: error.message }
  }
}

function findFault(listener: Listener, input: CompileInput): ListenerFault | undefined {
  if (listener.generic !== undefined) return genericFault(listener.generic, input)
  const captured = captureFault(listener)
  if (captured !== undefined) return captured
  for (const [index, chain] of listener.chains.entries()) {
    const message = chainFault(chain, input)
    if (message !== undefined) return { path: `filter_chains[${index}]`, message }
  }
  const names = listener.chains.flatMap(chainKeys)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) return { path: 'filter_chains', message: `two chains for server name ${twice}` }
  return undefined
}

function genericFault(generic: GenericListener, { modes }: CompileInput): ListenerFault | undefined {
  const path = generic.chains.length > 0 ? 'filter_chains[0]' : 'default_filter_chain'
  if (!modes.has('reverse')) return { path, message: 'this role runs listeners of the mesh only' }
  const hidden = hiddenChain(generic)
  if (hidden === undefined) return undefined
  return { path: `filter_chains[${hidden}].filter_chain_match`, message: 'matches what another chain matches' }
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
  if (filter.kind === 'tcp') {
    const isTcp = tls.alpn.length === 1 && tls.alpn[0] === ALPN_TCP
    return isTcp ? undefined : `mesh connections of TCP speak ${ALPN_TCP}`
  }
  return tls.alpn.includes('h2') ? undefined : 'mesh connections speak h2'
}

/** What the listener's table knows a chain by. */
const chainKeys = ({ serverNames, applicationProtocols }: FilterChain): readonly string[] =>
  applicationProtocols === undefined
    ? serverNames
    : serverNames.flatMap((name) => applicationProtocols.map((protocol) => `${name} ${protocol}`))

/** Most specific first: a chain for one of the protocols offered, then one for any. */
export function chainFor(
  { byName, rest }: CompiledListener,
  serverName: string,
  offered: readonly string[],
): CompiledChain | undefined {
  for (const protocol of offered) {
    const found = byName.get(`${serverName} ${protocol}`)
    if (found !== undefined) return found
  }
  return byName.get(serverName) ?? rest
}

function compileListener(
  listener: Listener,
  input: CompileInput,
  compiledOf: (table: RouteTable) => CompiledRoutes,
): CompiledListener | ListenerFault {
  const { name, address, port, generic } = listener
  if (generic !== undefined) return openListener(listener, generic, { input, compiledOf })
  const stats = input.stats.listener(address, port)
  const logs = input.logs.compile(listener.accessLogs)
  const byName = new Map<string, CompiledChain>()
  const pairs: [FilterChain, CompiledChain][] = []
  let rest: CompiledChain | undefined
  for (const chain of listener.chains) {
    const compiled = compileChain(chain, input, compiledOf)
    pairs.push([chain, compiled])
    for (const key of chainKeys(chain)) byName.set(key, compiled)
    if (chain.serverNames.length === 0) rest ??= compiled
  }
  const peeks = byName.size > 0 || rest?.tls !== undefined
  const capture = listener.capture === undefined ? undefined : { ...listener.capture, chains: capturedChains(pairs) }
  return { name, stats, logs, address, port, peeks, byName, rest, capture, generic: undefined }
}

function openListener(
  { name, address, port, accessLogs }: Listener,
  generic: GenericListener,
  { input, compiledOf }: { input: CompileInput; compiledOf: (table: RouteTable) => CompiledRoutes },
): CompiledListener | ListenerFault {
  const { secrets } = input.config
  const compileOne = ({ name: chain, filter }: GenericChain): CompiledChain =>
    compileChain({ name: chain, filter }, input, compiledOf)
  const secretOf = (secret: string): GenericSecret | undefined => {
    const found = secrets.get(secret)
    return found?.kind === undefined ? undefined : found
  }
  try {
    const networkOf = ({ network = [] }: GenericChain): NetworkFilters | undefined =>
      network.length === 0 ? undefined : new NetworkFilters(network, input.stats)
    const compiled = compileGeneric(generic, { compileOne, networkOf, secretOf, contexts: input.tlsContexts })
    const stats = input.stats.listener(address, port)
    const logs = input.logs.compile(accessLogs)
    const none = {
      stats,
      logs,
      peeks: false,
      byName: new Map<string, CompiledChain>(),
      rest: undefined,
      capture: undefined,
    }
    return { name, address, port, ...none, generic: compiled }
  } catch (error) {
    if (!(error instanceof TlsFault)) throw error
    return { path: error.path, message: error.message }
  }
}

function compileTelemetry(filter: HttpFilterChain, input: CompileInput): HttpTelemetry {
  const stats = input.stats.http(filter.statPrefix)
  const logs = input.logs.compile(filter.accessLogs)
  const kind = filter.mode === 'forward' ? 'client' : 'server'
  const tracer = input.tracers.compile(filter.tracing, { stats, kind })
  return { stats, logs, tracer, timed: logs !== undefined || tracer !== undefined }
}

function compileChain(
  chain: Pick<FilterChain, 'name' | 'tls' | 'allow' | 'network' | 'filter'>,
  input: CompileInput,
  compiledOf: (table: RouteTable) => CompiledRoutes,
): CompiledChain {
  const { filter } = chain
  const common = {
    name: chain.name,
    tls: chain.tls === undefined ? undefined : { alpn: chain.tls.alpn },
    allow: chain.allow,
    network: chain.network === undefined ? undefined : new NetworkFilters(chain.network, input.stats),
  }
  if (filter.kind === 'tcp') {
    return { ...common, filter: compileTcp(filter, input) }
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
      upgrades: compileUpgrades(filter.upgrades ?? (filter.mode === 'reverse' ? [] : MESH_UPGRADES)),
      filters: new CompiledFilters(
        filter.filters ?? DEFAULT_FILTERS,
        environmentOf(input, {
          statPrefix: `http.${filter.statPrefix}.`,
          name: `chain ${chain.name} ${filter.statPrefix}`,
          claimed: [],
        }),
      ),
      telemetry: compileTelemetry(filter, input),
      reverse: filter.mode === 'reverse' ? compileReverse(filter, input) : undefined,
    },
  }
}

function compileReverse({ http = {}, localReply }: HttpFilterChain, { logs }: CompileInput): ReverseHttp {
  return new ReverseHttp(http, localReply && new LocalReplies(localReply, (filter) => logs.testOf(filter)))
}

interface Place {
  readonly statPrefix: string
  /** Tells places apart, and stays the same from one configuration to the next. */
  readonly name: string
  readonly claimed: string[]
}

function environmentOf(
  { clusters, config, stats, survivors, lasting }: CompileInput,
  { statPrefix, name, claimed }: Place,
): FilterEnvironment {
  return {
    ...lasting,
    clusterOf: (cluster) => clusters.get(cluster),
    secretOf: (secret) => {
      const found = config.secrets.get(secret)
      return found?.kind === 'text' ? found.text : undefined
    },
    statPrefix,
    counters: (scope, names) => stats.counters(scope, names),
    atPlace: (key, make) => survivors.of(`${name} ${key}`, make, claimed),
  }
}

function compileTable(table: RouteTable, input: CompileInput): CompiledRoutes {
  const claimed: string[] = []
  return compileRoutes(table, environmentOf(input, { statPrefix: '', name: `routes ${table.name}`, claimed }), claimed)
}

function compileTcp(filter: TcpProxy, { clusters, logs, stats }: CompileInput): CompiledTcp {
  const { connectAttemptsMax, idleMs, durationMaxMs } = filter
  return {
    kind: 'tcp',
    clusterName: filter.cluster,
    targets: new TcpTargets(filter, (name) => clusters.get(name)),
    hashSourceIp: filter.hashSourceIp === true,
    attemptsMax: connectAttemptsMax ?? TCP_DEFAULTS.attemptsMax,
    idleMs: idleMs ?? TCP_DEFAULTS.idleMs,
    durationMaxMs: durationMaxMs ?? TCP_DEFAULTS.durationMaxMs,
    logs: logs.compile(filter.accessLogs),
    counters: stats.tcp(filter.statPrefix),
  }
}
