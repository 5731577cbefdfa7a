/**
 * Endpoints whose addresses are host names: resolved again and again, and told when the answer changed. `strict`: each
 * address is an endpoint. `logical`: the name is one endpoint at one of its addresses. A failure changes nothing, for a
 * DNS server that is away must not take a service with it.
 */
import type { DnsDiscovery, Endpoint, LoadAssignment } from '../../model/config.ts'
import type { Cancel } from '../../runtime/clock.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

const REFRESH_MS = 5_000 // Envoy's default dns_refresh_rate
const TTL_MS_MIN = 1_000
const TTL_MS_MAX = 300_000

export interface Resolved {
  readonly addresses: readonly string[]
  /** Of the record that ends first. */
  readonly ttlMs?: number
}

/** Calls `done` once, unless cancelled; undefined: it failed. */
export type Resolve = (host: string, wantsTtl: boolean, done: (resolved: Resolved | undefined) => void) => Cancel

export interface DnsParts {
  readonly timers: TimerWheel
  readonly resolve: Resolve
  readonly onChange: (assignment: LoadAssignment) => void
}

export class DnsWatcher {
  readonly #config: DnsDiscovery
  readonly #declared: LoadAssignment
  readonly #names = new Map<string, Name>()

  constructor(config: DnsDiscovery, declared: LoadAssignment, parts: DnsParts) {
    this.#config = config
    this.#declared = declared
    for (const { endpoints } of declared.localities) {
      for (const { address } of endpoints) {
        if (isAddress(address) || this.#names.has(address)) continue
        this.#names.set(address, new Name(address, config, parts, () => parts.onChange(this.current())))
      }
    }
  }

  /** What is known now; a name that was never resolved has no endpoint. */
  current(): LoadAssignment {
    const localities = this.#declared.localities.map(({ endpoints, ...rest }) =>
      Object.assign(rest, { endpoints: endpoints.flatMap((endpoint) => this.#resolved(endpoint)) }),
    )
    return { ...this.#declared, localities }
  }

  start(): void {
    for (const name of this.#names.values()) name.ask()
  }

  close(): void {
    for (const name of this.#names.values()) name.close()
  }

  #resolved(endpoint: Endpoint): Endpoint[] {
    const name = this.#names.get(endpoint.address)
    if (name === undefined) return [endpoint]
    const addresses = this.#config.kind === 'strict' ? name.addresses : name.addresses.slice(0, 1)
    const hostname = endpoint.hostname ?? endpoint.address
    return addresses.map((address) => Object.assign({}, endpoint, { address, hostname }))
  }
}

class Name {
  addresses: readonly string[] = []
  readonly #host: string
  readonly #config: DnsDiscovery
  readonly #parts: DnsParts
  readonly #changed: () => void
  readonly #again: WheelTimer
  #cancel: Cancel = () => {}

  constructor(host: string, config: DnsDiscovery, parts: DnsParts, changed: () => void) {
    this.#host = host
    this.#config = config
    this.#parts = parts
    this.#changed = changed
    this.#again = new WheelTimer(() => this.ask())
  }

  ask(): void {
    const { respectTtl = false, refreshMs = REFRESH_MS } = this.#config
    this.#cancel = this.#parts.resolve(this.#host, respectTtl, (resolved) => {
      const ttlMs = resolved?.ttlMs
      const nextMs = ttlMs === undefined ? refreshMs : Math.min(TTL_MS_MAX, Math.max(TTL_MS_MIN, ttlMs))
      this.#parts.timers.schedule(this.#again, nextMs)
      if (resolved !== undefined) this.#take(resolved)
    })
  }

  close(): void {
    this.#cancel()
    this.#parts.timers.cancel(this.#again)
  }

  #take(resolved: Resolved): void {
    const found = ofFamily([...new Set(resolved.addresses)], this.#config.family ?? 'auto')
    // Servers turn the order of their answers round; the present address stays first as long as it is among them.
    const [first] = this.addresses
    const isKept = first !== undefined && found.includes(first)
    const next = isKept ? [first, ...found.filter((address) => address !== first)] : found
    if (next.length === this.addresses.length && next.every((address) => this.addresses.includes(address))) return
    this.addresses = next
    this.#changed()
  }
}

function ofFamily(addresses: readonly string[], family: NonNullable<DnsDiscovery['family']>): readonly string[] {
  const six = addresses.filter((address) => address.includes(':'))
  const four = addresses.filter((address) => !address.includes(':'))
  switch (family) {
    case 'v4':
      return four
    case 'v6':
      return six
    case 'v4-preferred':
      return four.length > 0 ? four : six
    case 'auto':
      return six.length > 0 ? six : four
    case 'all':
      return addresses
    default:
      return family satisfies never
  }
}

const isAddress = (text: string): boolean => text.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(text)
