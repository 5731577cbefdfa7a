/**
 * A cluster across snapshots: its endpoints with their records, its limits on concurrency and retries. Choosing an
 * endpoint is table.ts (priority, locality) and picker.ts (policy), made anew here when health changes.
 */
import type { Cluster, Endpoint, HealthCheck, LoadAssignment, Metadata } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClientConnection } from '../stream.ts'
import type { ClusterStats } from '../stats/scopes.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { StreamWay, Transport } from '../upstream/transport.ts'
import { Breaker } from './breaker.ts'
import { EndpointState } from './endpoint.ts'
import { DnsWatcher, type Resolve } from './dns.ts'
import { HealthChecker } from './health-check.ts'
import { ClusterLimits, type Priority } from './limits.ts'
import { LOAD_RULE } from './load.ts'
import { type OriginalAddress, OriginalEndpoints } from './original-dst.ts'
import { type Outcome, OutlierDetector } from './outlier.ts'
import { chooseSubset, hasMetadata, type Subset } from './subsets.ts'
import { BalanceTable, type LocalityGroup, type PriorityGroup } from './table.ts'

const PICKS = 3
/** Subsets are few, but a route may compute their names. */
const TABLES_MAX = 1_000

/** Makes the way to an endpoint; injected, so that balancing is tested without sockets. */
export type TransportFactory = (options: TransportOptions) => Transport

export interface TransportOptions {
  readonly cluster: Cluster
  /** Read at every use: weights and the like change while connections live on. */
  readonly endpoint: () => Endpoint
  readonly limits: ClusterLimits
  /** `usable` may have changed. */
  readonly onUsable: () => void
}

export interface ClusterDependencies {
  readonly timers: TimerWheel
  readonly random: Random
  readonly createTransport: TransportFactory
  /** For clusters that carry TCP; called when a connection first needs it. */
  readonly createStreams?: (options: TransportOptions) => StreamWay
  /** For clusters whose endpoints are host names. */
  readonly resolve?: Resolve
  /** Addresses that no client may name. Absent: none. */
  readonly isForbidden?: (address: string) => boolean
  /** Where a cluster counts; absent: in itself. */
  readonly stats?: (cluster: string) => ClusterStats
}

/** What a request brings to the choice of its endpoint. */
export interface PickRequest {
  /** By the route's hash policy; what ring hash and maglev go by. */
  readonly hash?: bigint
  /** By the route's metadata match; what subsets go by. */
  readonly subset?: Metadata
  /** Where it wanted to go; what ORIGINAL_DST clusters go by. */
  readonly destination?: OriginalAddress
  /** Endpoints with one of these among their metadata are avoided like those that were tried. */
  readonly omit?: readonly Metadata[]
}

const ANY_REQUEST: PickRequest = {}

export class ClusterState {
  readonly #dependencies: ClusterDependencies
  #config: Cluster
  #assignment: LoadAssignment
  /** Of the assignment, with host names resolved as far as they are. */
  #resolved: LoadAssignment
  #endpoints = new Map<string, EndpointState>()
  /** Made when asked for, dropped when anything changed; by subset, '' for all endpoints. */
  readonly #tables = new Map<string, BalanceTable>()
  readonly limits: ClusterLimits
  readonly stats: ClusterStats
  /** Asked once per request, before anything is picked. */
  breaker: Breaker | undefined = undefined
  readonly #outlier: OutlierDetector
  #health: { readonly config: HealthCheck; readonly checker: HealthChecker } | undefined
  #hasTraffic = false
  #originals: OriginalEndpoints | undefined = undefined
  #dns: { readonly config: string; readonly watcher: DnsWatcher } | undefined

  constructor(config: Cluster, assignment: LoadAssignment, dependencies: ClusterDependencies) {
    this.#dependencies = dependencies
    this.#config = config
    this.#assignment = assignment
    this.#resolved = assignment
    this.limits = new ClusterLimits(config, dependencies.timers, dependencies.stats?.(config.name))
    this.stats = this.limits.stats
    const { timers, random } = dependencies
    const endpoints = (): Iterable<EndpointState> => this.#endpoints.values()
    const onChange = (): void => this.#tables.clear()
    const { counters } = this.stats
    this.#outlier = new OutlierDetector({ timers, random, endpoints, onChange, counters }, config.outlier)
    this.#followBreaker()
    this.#followOriginals()
    this.#followNames()
    this.#reconcile()
  }

  get config(): Cluster {
    return this.#config
  }

  /** As configured. */
  get assignment(): LoadAssignment {
    return this.#assignment
  }

  /** With host names resolved as far as they are. */
  get resolved(): LoadAssignment {
    return this.#resolved
  }

  get active(): number {
    return this.limits.of('default').active + this.limits.of('high').active
  }

  get endpoints(): ReadonlyMap<string, EndpointState> {
    return this.#endpoints
  }

  /** Endpoints that stay keep their connections, load and record. */
  apply(config: Cluster, assignment: LoadAssignment): void {
    this.#config = config
    this.#assignment = assignment
    this.limits.apply(config)
    this.#outlier.apply(config.outlier)
    this.#followBreaker()
    this.#followOriginals()
    this.#followNames()
    this.#reconcile()
  }

  close(): void {
    this.#originals?.close()
    this.#dns?.watcher.close()
    this.#outlier.close()
    this.#health?.checker.close()
    for (const state of this.#endpoints.values()) state.close()
    this.#endpoints.clear()
    this.#tables.clear()
  }

  /** Give it back with `leave`. Limits are judged where they are met: see Pool. */
  enter(priority?: Priority): void {
    this.#hasTraffic = true
    this.limits.of(priority).enter()
  }

  /** `retried`: a retry was granted by `mayRetry`. */
  leave(retried = false, priority?: Priority): void {
    this.limits.of(priority).leave(retried)
  }

  /** False: more retries would feed a failure. `again`: it is not the first of the request. */
  mayRetry(again = false, priority?: Priority): boolean {
    return this.limits.of(priority).mayRetry(again)
  }

  /**
   * Undefined when no endpoint may be used: there is none, or panic is switched off, or no subset fits. Endpoints in
   * `tried` are avoided as long as there is another.
   */
  pick(tried: readonly EndpointState[], request = ANY_REQUEST): EndpointState | undefined {
    return this.#originals === undefined
      ? this.#choose(tried, request)
      : this.#originals.pick(request.destination, tried)
  }

  #choose(tried: readonly EndpointState[], request: PickRequest): EndpointState | undefined {
    const { subsets } = this.#config
    const subset = subsets && chooseSubset(subsets, request.subset, (candidate) => this.#isEmpty(candidate))
    if (subsets !== undefined && subset === undefined) return undefined
    const table = this.#tableOf(subset)
    let last: EndpointState | undefined
    for (let attempt = 0; attempt < PICKS; attempt++) {
      const state = table.pick(request.hash, attempt)
      if (state === undefined || !avoids(tried, request, state)) return state
      last = state
    }
    for (const state of this.#endpoints.values()) {
      if (state.usable && !avoids(tried, request, state) && subset?.contains(state.endpoint) !== false) return state
    }
    return last
  }

  report(state: EndpointState, connection: ClientConnection | undefined, outcome: Outcome): void {
    const ok = outcome === true || (outcome !== false && outcome < 500)
    const answersFor = connection === undefined || state.transport.report(connection, ok)
    state.count(ok || !answersFor)
    if (ok || answersFor) this.#outlier.record(state, outcome)
  }

  #tableOf(subset: Subset | undefined): BalanceTable {
    const key = subset?.key ?? ''
    const known = this.#tables.get(key)
    if (known !== undefined && (known.slowUntil === 0 || this.#dependencies.timers.now() < known.slowUntil)) {
      return known
    }
    const { random, timers } = this.#dependencies
    const config = this.#config
    const table = new BalanceTable(this.#groups(subset), {
      config,
      random,
      timers,
      rule: {
        overprovisioningPercent: this.#assignment.overprovisioningPercent ?? LOAD_RULE.overprovisioningPercent,
        panicPercent: config.panicPercent ?? LOAD_RULE.panicPercent,
      },
      localityWeighted:
        config.localityWeighted !== false && (subset === undefined || config.subsets?.localityWeightAware === true),
    })
    if (this.#tables.size >= TABLES_MAX) this.#tables.clear()
    this.#tables.set(key, table)
    return table
  }

  #isEmpty(subset: Subset): boolean {
    const known = this.#tables.get(subset.key)
    if (known !== undefined) return known.empty
    for (const { endpoint } of this.#endpoints.values()) if (subset.contains(endpoint)) return false
    return true
  }

  /** By priority; every priority up to the last has its place, filled or not. */
  #groups(subset: Subset | undefined): PriorityGroup[] {
    const groups = new Map<number, LocalityGroup[]>()
    for (const { priority, weight, endpoints, locality } of this.#resolved.localities) {
      const states: EndpointState[] = []
      for (const endpoint of endpoints) {
        const state = this.#endpoints.get(endpointKey(endpoint, `${locality.region}/${locality.zone}`))
        if (state !== undefined && subset?.contains(endpoint) !== false) states.push(state)
      }
      const group = groups.get(priority) ?? []
      group.push({ weight, states })
      groups.set(priority, group)
    }
    return [...groups].sort(([a], [b]) => a - b).map(([, localities]) => localities)
  }

  /** What it has seen so far stays: a changed threshold is no new service. */
  #followBreaker(): void {
    const { breaker } = this.#config
    const { timers, random } = this.#dependencies
    if (breaker === undefined) this.breaker = undefined
    else if (this.breaker === undefined) this.breaker = new Breaker(breaker, { now: () => timers.now(), random })
    else this.breaker.apply(breaker)
  }

  #followOriginals(): void {
    const { originalDst } = this.#config
    if (JSON.stringify(originalDst) === JSON.stringify(this.#originals?.config)) return
    this.#originals?.close()
    const { timers, isForbidden = () => false } = this.#dependencies
    const create = (endpoint: Endpoint): EndpointState => this.#createState(endpointKey(endpoint, ''), endpoint)
    this.#originals = originalDst && new OriginalEndpoints(originalDst, { timers, create, isForbidden })
  }

  /** A new assignment of the same content keeps what was resolved. */
  #followNames(): void {
    const { dns } = this.#config
    const { resolve, timers } = this.#dependencies
    const config = dns === undefined ? '' : JSON.stringify([dns, this.#assignment])
    if (dns !== undefined && this.#dns?.config === config) return
    this.#dns?.watcher.close()
    this.#dns = undefined
    this.#resolved = this.#assignment
    if (dns === undefined || resolve === undefined) return
    const onChange = (assignment: LoadAssignment): void => {
      this.#resolved = assignment
      this.#reconcile()
    }
    const watcher = new DnsWatcher(dns, this.#assignment, { timers, resolve, onChange })
    this.#dns = { config, watcher }
    this.#resolved = watcher.current()
    watcher.start()
  }

  #reconcile(): void {
    const next = new Map<string, EndpointState>()
    for (const { endpoints, locality } of this.#resolved.localities) {
      for (const endpoint of endpoints) {
        const key = endpointKey(endpoint, `${locality.region}/${locality.zone}`)
        const state = this.#endpoints.get(key) ?? this.#createState(key, endpoint)
        state.endpoint = endpoint
        next.set(key, state)
      }
    }
    for (const [key, state] of this.#endpoints) if (!next.has(key)) state.close()
    this.#endpoints = next
    this.#followHealth()
    this.#tables.clear()
  }

  #followHealth(): void {
    const { healthCheck } = this.#config
    // A new object with the same content is no reason to doubt every endpoint again.
    if (JSON.stringify(this.#health?.config) !== JSON.stringify(healthCheck)) {
      this.#health?.checker.close()
      this.#health = healthCheck && { config: healthCheck, checker: this.#createChecker(healthCheck) }
    }
    this.#health?.checker.follow(new Set(this.#endpoints.values()))
  }

  #createChecker(config: HealthCheck): HealthChecker {
    const { timers, random } = this.#dependencies
    return new HealthChecker(config, {
      timers,
      random,
      cluster: this.#config.name,
      hasTraffic: () => this.#hasTraffic,
      counters: this.stats.counters,
      onChange: () => this.#tables.clear(),
    })
  }

  #createState(key: string, endpoint: Endpoint): EndpointState {
    const current = (): Endpoint => this.#endpoints.get(key)?.endpoint ?? endpoint
    const { timers, createTransport, createStreams } = this.#dependencies
    const options: TransportOptions = {
      cluster: this.#config,
      endpoint: current,
      limits: this.limits,
      onUsable: () => {
        this.#endpoints.get(key)?.transportChanged()
        this.#tables.clear()
      },
    }
    const ways = createStreams && (() => createStreams(options))
    return new EndpointState({ key, endpoint, transport: createTransport(options), timers, createStreams: ways })
  }
}

function avoids(tried: readonly EndpointState[], { omit }: PickRequest, state: EndpointState): boolean {
  if (tried.includes(state)) return true
  return omit?.some((metadata) => hasMetadata(state.endpoint, metadata)) === true
}

/** What makes two endpoints the same one; weight, health and the number of pods behind a gateway may change. */
function endpointKey(endpoint: Endpoint, locality: string): string {
  const { tunnel } = endpoint
  const way =
    tunnel === undefined
      ? ''
      : [tunnel.authority, tunnel.gatewaySni, tunnel.gatewayIdentity, tunnel.innerSni, ...tunnel.identities].join('|')
  return `${endpoint.transport}|${endpoint.address}:${endpoint.port}|${endpoint.id ?? ''}|${locality}|${way}`
}
