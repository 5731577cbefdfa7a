/**
 * What stands before a connection's reader: who may connect, how many, how often, and which cluster a server name
 * stands for. Judged once, before a byte is read: a server that speaks first must not speak to whom it should not know,
 * whereas Envoy asks at the client's first byte.
 */
import type { NetworkFilter, RbacRules } from '../../model/config.ts'
import { type Destination, Rbac, type Subject } from '../filters/rbac.ts'
import { Bucket } from '../filters/buckets.ts'
import type { Peer } from '../identity.ts'
import { LENGTH_UNKNOWN, type RequestHead } from '../message.ts'
import type { Stats } from '../stats/store.ts'

export interface Arrival {
  readonly remoteAddress: string
  readonly directAddress: string
  readonly serverName: string
  readonly nowMs: number
  /** Connections of the mesh only: who came, and where to. */
  readonly peer?: Peer
  readonly destination?: () => Destination
}

export type Admission =
  | {
      readonly admitted: true
      /** Absent: the reader's own. */
      readonly clusterName?: string
      /** To be called when the connection is over. */
      readonly leave: () => void
    }
  | { readonly admitted: false; readonly reason: string; readonly delayMs: number }

interface Gate {
  /** Undefined: it may go on. */
  enter(arrival: Arrival): { readonly reason: string; readonly delayMs: number } | undefined
  leave(): void
}

/** A connection has neither; rules that ask for them are refused by the codec. */
const NO_HEAD: RequestHead = {
  method: '',
  scheme: '',
  authority: '',
  path: '',
  protocol: '',
  headers: [],
  bodyLength: LENGTH_UNKNOWN,
}

/** What is counted outlives configurations, as long as the filter itself stays the same. */
const GATES = new WeakMap<NetworkFilter, Gate>()

export class NetworkFilters {
  readonly #gates: readonly Gate[]
  readonly #bySni: boolean

  constructor(filters: readonly NetworkFilter[], stats: Stats) {
    this.#bySni = filters.some(({ kind }) => kind === 'sni-cluster')
    this.#gates = filters.flatMap((filter) => {
      const gate = GATES.get(filter) ?? createGate(filter, stats)
      if (gate === undefined) return []
      GATES.set(filter, gate)
      return [gate]
    })
  }

  /** Of a connection that is already there, under rules that may have changed. */
  wouldAdmit(arrival: Arrival): boolean {
    return this.#gates.every((gate) => wouldEnter(gate, arrival))
  }

  admit(arrival: Arrival): Admission {
    const entered: Gate[] = []
    const leave = (): void => {
      for (const gate of entered.splice(0)) gate.leave()
    }
    for (const gate of this.#gates) {
      const refusal = gate.enter(arrival)
      if (refusal !== undefined) {
        leave()
        return { admitted: false, ...refusal }
      }
      entered.push(gate)
    }
    const named = this.#bySni && arrival.serverName !== '' ? { clusterName: arrival.serverName } : {}
    return { admitted: true, ...named, leave }
  }
}

/** Whether the rules would let it in now; nothing is counted or taken for it. */
function wouldEnter(gate: Gate, arrival: Arrival): boolean {
  return gate instanceof RbacGate ? gate.admits(arrival) : true
}

function createGate(filter: NetworkFilter, stats: Stats): Gate | undefined {
  switch (filter.kind) {
    case 'rbac':
      return new RbacGate(filter, stats)
    case 'connection-limit':
      return new LimitGate(filter, stats)
    case 'rate-limit':
      return new RateGate(filter, stats)
    case 'sni-cluster':
      return undefined
    default:
      return filter satisfies never
  }
}

type Of<K extends NetworkFilter['kind']> = Extract<NetworkFilter, { readonly kind: K }>

const RBAC_NAMES = ['allowed', 'denied', 'shadow_allowed', 'shadow_denied', 'logged', 'not_logged'] as const

class RbacGate implements Gate {
  readonly #rules: Rbac
  readonly #shadow: Rbac | undefined
  readonly #counters: Record<(typeof RBAC_NAMES)[number], number>

  constructor({ statPrefix, rules, shadow }: Of<'rbac'>, stats: Stats) {
    const rbac = (of: RbacRules): Rbac => new Rbac({ rules: of })
    this.#rules = rules === undefined ? new Rbac({}) : rbac(rules)
    this.#shadow = shadow && rbac(shadow)
    this.#counters = stats.counters(`${statPrefix}rbac.`, RBAC_NAMES)
  }

  admits(arrival: Arrival): boolean {
    return this.#rules.action === undefined || this.#rules.judge(subjectOf(arrival)).admitted
  }

  enter(arrival: Arrival): ReturnType<Gate['enter']> {
    const subject = subjectOf(arrival)
    if (this.#shadow !== undefined) {
      this.#counters[this.#shadow.judge(subject).admitted ? 'shadow_allowed' : 'shadow_denied']++
    }
    if (this.#rules.action === undefined) return undefined
    const { admitted, policy } = this.#rules.judge(subject)
    if (this.#rules.action === 'log') this.#counters[policy === '' ? 'not_logged' : 'logged']++
    this.#counters[admitted ? 'allowed' : 'denied']++
    return admitted ? undefined : { reason: 'rbac', delayMs: 0 }
  }

  leave(): void {}
}

const subjectOf = ({ remoteAddress, directAddress, peer, destination }: Arrival): Subject => ({
  head: NO_HEAD,
  peer,
  remoteAddress,
  directAddress,
  ...(destination !== undefined && { destination }),
})

class LimitGate implements Gate {
  readonly #filter: Of<'connection-limit'>
  readonly #counters: Record<'active_connections' | 'limited_connections', number>
  #open = 0

  constructor(filter: Of<'connection-limit'>, stats: Stats) {
    this.#filter = filter
    const names = ['active_connections', 'limited_connections'] as const
    this.#counters = stats.counters(`connection_limit.${filter.statPrefix}.`, names)
  }

  enter(): ReturnType<Gate['enter']> {
    if (this.#open >= this.#filter.connectionsMax) {
      this.#counters.limited_connections++
      return { reason: 'connection-limit', delayMs: this.#filter.delayMs ?? 0 }
    }
    this.#open++
    this.#counters.active_connections++
    return undefined
  }

  leave(): void {
    this.#open--
    this.#counters.active_connections--
  }
}

class RateGate implements Gate {
  readonly #bucket: Bucket
  readonly #counters: Record<'rate_limited', number>

  constructor({ statPrefix, bucket }: Of<'rate-limit'>, stats: Stats) {
    this.#bucket = new Bucket(bucket)
    this.#counters = stats.counters(`local_rate_limit.${statPrefix}.`, ['rate_limited'])
  }

  enter({ nowMs }: Arrival): ReturnType<Gate['enter']> {
    if (this.#bucket.take(nowMs)) return undefined
    this.#counters.rate_limited++
    return { reason: 'rate-limit', delayMs: 0 }
  }

  leave(): void {}
}
