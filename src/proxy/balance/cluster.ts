/**
 * Chooses an endpoint: priority, then locality, then the less busy of two picked by weight. Holds a cluster's
 * endpoints across snapshots and its limits on concurrency and retries. The arithmetic is load.ts.
 */
import type { Cluster, Endpoint, LoadAssignment } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { ClientConnection } from '../stream.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { Transport } from '../upstream/transport.ts'
import { EndpointState } from './endpoint.ts'
import { localityWeight, priorityLoads } from './load.ts'
import { RetryBudget } from './retry-budget.ts'

/** Requests under way to one service from one proxy; beyond it they are refused. Envoy 1,024; we multiplex. */
const REQUESTS_MAX = 10_000
const RANDOM_PICKS = 3

/** Makes the way to an endpoint; injected, so that balancing is tested without sockets. */
export type TransportFactory = (cluster: Cluster, endpoint: () => Endpoint, onUsable: () => void) => Transport

export interface ClusterDependencies {
  readonly timers: TimerWheel
  readonly random: Random
  readonly createTransport: TransportFactory
}

interface LocalityTable {
  weight: number
  readonly states: readonly EndpointState[]
  readonly weightTotal: number
  /** All weights are equal: no need to walk them. */
  readonly even: boolean
}

interface PriorityTable {
  readonly percent: number
  readonly localities: readonly LocalityTable[]
  readonly weightTotal: number
}

export class ClusterState {
  readonly #dependencies: ClusterDependencies
  #config: Cluster
  #assignment: LoadAssignment
  #endpoints = new Map<string, EndpointState>()
  #table: readonly PriorityTable[] | undefined
  #active = 0
  readonly #budget = new RetryBudget()

  constructor(config: Cluster, assignment: LoadAssignment, dependencies: ClusterDependencies) {
    this.#dependencies = dependencies
    this.#config = config
    this.#assignment = assignment
    this.#reconcile()
  }

  get config(): Cluster {
    return this.#config
  }

  get assignment(): LoadAssignment {
    return this.#assignment
  }

  get active(): number {
    return this.#active
  }

  get endpoints(): ReadonlyMap<string, EndpointState> {
    return this.#endpoints
  }

  /** Endpoints that stay keep their connections, load and record. */
  apply(config: Cluster, assignment: LoadAssignment): void {
    this.#config = config
    this.#assignment = assignment
    this.#reconcile()
  }

  close(): void {
    for (const state of this.#endpoints.values()) state.close()
    this.#endpoints.clear()
    this.#table = undefined
  }

  /** False: a limit is reached. Give it back with `leave`. */
  enter(): boolean {
    if (this.#active >= REQUESTS_MAX) return false
    this.#active++
    this.#budget.request(this.#dependencies.timers.now())
    return true
  }

  leave(): void {
    this.#active--
  }

  /** False: more retries would feed a failure. */
  mayRetry(): boolean {
    return this.#budget.retry(this.#dependencies.timers.now())
  }

  /** Undefined only when there is no endpoint. Endpoints in `tried` are avoided as long as there is another. */
  pick(tried: readonly EndpointState[]): EndpointState | undefined {
    const table = (this.#table ??= this.#compile())
    let last: EndpointState | undefined
    for (let attempt = 0; attempt < RANDOM_PICKS; attempt++) {
      const state = this.#pickOnce(table)
      if (state === undefined || !tried.includes(state)) return state
      last = state
    }
    for (const state of this.#endpoints.values()) if (state.usable && !tried.includes(state)) return state
    return last
  }

  report(state: EndpointState, connection: ClientConnection | undefined, ok: boolean): void {
    const answersFor = connection === undefined || state.transport.report(connection, ok)
    const { outlier } = this.#config
    if (!state.record(ok || !answersFor, outlier) || outlier === undefined) return
    let ejected = 1
    for (const other of this.#endpoints.values()) if (other.ejected) ejected++
    if (100 * ejected > outlier.ejectionPercentMax * this.#endpoints.size) return
    state.eject(outlier)
    this.#table = undefined
  }

  #pickOnce(table: readonly PriorityTable[]): EndpointState | undefined {
    const { random } = this.#dependencies
    let percent = random.next() * 100
    let level = table.find((candidate) => (percent -= candidate.percent) < 0)
    // Rounding in the walk above cannot leave the last level that has a share.
    level ??= table.findLast((candidate) => candidate.percent > 0)
    if (level === undefined) return undefined
    let weight = random.next() * level.weightTotal
    const locality =
      level.localities.length === 1
        ? level.localities[0]
        : (level.localities.find((candidate) => (weight -= candidate.weight) < 0) ?? level.localities.at(-1))
    if (locality === undefined) return undefined
    if (locality.states.length === 1) return locality.states[0]
    return lessBusy(pickWeighted(locality, random), pickWeighted(locality, random))
  }

  #compile(): readonly PriorityTable[] {
    const groups = this.#groups()
    const health = groups.map((group) => ({
      healthy: group.localities.reduce((sum, locality) => sum + locality.states.filter(isUsable).length, 0),
      total: group.localities.reduce((sum, locality) => sum + locality.states.length, 0),
    }))
    const loads = priorityLoads(health)
    return groups.map((group, index) => {
      const panic = loads.panic[index] === true
      const localities = group.localities
        .map((locality) => compileLocality(locality, panic))
        .filter((locality) => locality.states.length > 0)
      // Without weights every locality counts by its endpoints, as if there were no localities.
      if (!localities.some((locality) => locality.weight > 0)) {
        for (const locality of localities) locality.weight = locality.weightTotal
      }
      const weightTotal = localities.reduce((sum, locality) => sum + locality.weight, 0)
      return { percent: loads.percent[index] ?? 0, localities, weightTotal }
    })
  }

  #groups(): { localities: { weight: number; states: EndpointState[] }[] }[] {
    const byPriority = new Map<number, { weight: number; states: EndpointState[] }[]>()
    for (const { priority, weight, endpoints, locality } of this.#assignment.localities) {
      const states: EndpointState[] = []
      for (const endpoint of endpoints) {
        const state = this.#endpoints.get(endpointKey(endpoint, `${locality.region}/${locality.zone}`))
        if (state !== undefined) states.push(state)
      }
      byPriority.set(priority, [...(byPriority.get(priority) ?? []), { weight, states }])
    }
    return [...byPriority].sort(([a], [b]) => a - b).map(([, localities]) => ({ localities }))
  }

  #reconcile(): void {
    const next = new Map<string, EndpointState>()
    for (const { endpoints, locality } of this.#assignment.localities) {
      for (const endpoint of endpoints) {
        const key = endpointKey(endpoint, `${locality.region}/${locality.zone}`)
        const state = this.#endpoints.get(key) ?? this.#createState(key, endpoint)
        state.endpoint = endpoint
        next.set(key, state)
      }
    }
    for (const [key, state] of this.#endpoints) if (!next.has(key)) state.close()
    this.#endpoints = next
    this.#table = undefined
  }

  #createState(key: string, endpoint: Endpoint): EndpointState {
    const changed = (): void => {
      this.#table = undefined
    }
    const current = (): Endpoint => this.#endpoints.get(key)?.endpoint ?? endpoint
    const transport = this.#dependencies.createTransport(this.#config, current, () => {
      this.#endpoints.get(key)?.transportChanged()
      changed()
    })
    return new EndpointState({ key, endpoint, transport, timers: this.#dependencies.timers, onRestored: changed })
  }
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

const isUsable = (state: EndpointState): boolean => state.usable

function compileLocality(
  locality: { weight: number; states: readonly EndpointState[] },
  panic: boolean,
): LocalityTable {
  const usable = panic ? locality.states : locality.states.filter(isUsable)
  const health = { healthy: usable.length, total: locality.states.length }
  const weights = usable.map((state) => Math.max(1, state.endpoint.weight))
  return {
    weight: localityWeight(locality.weight, health, panic),
    states: usable,
    weightTotal: weights.reduce((sum, weight) => sum + weight, 0),
    even: weights.every((weight) => weight === weights[0]),
  }
}

function pickWeighted(locality: LocalityTable, random: Random): EndpointState | undefined {
  if (locality.even) return locality.states[Math.floor(random.next() * locality.states.length)]
  let left = random.next() * locality.weightTotal
  for (const state of locality.states) {
    left -= Math.max(1, state.endpoint.weight)
    if (left < 0) return state
  }
  return locality.states.at(-1)
}

function lessBusy(one: EndpointState | undefined, other: EndpointState | undefined): EndpointState | undefined {
  if (one === undefined || other === undefined) return one ?? other
  const loadOne = (one.active + 1) / Math.max(1, one.endpoint.weight)
  const loadOther = (other.active + 1) / Math.max(1, other.endpoint.weight)
  return loadOther < loadOne ? other : one
}
