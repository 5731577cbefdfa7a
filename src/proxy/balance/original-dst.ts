/**
 * Endpoints of an ORIGINAL_DST cluster: each connection or request brings its own, where its client wanted to go before
 * someone led it here. They are made when first asked for, and dropped when nobody has for a while.
 */
import { isIP } from 'node:net'
import type { Endpoint, OriginalDst } from '../../model/config.ts'
import type { TimerWheel } from '../timer-wheel.ts'
import type { EndpointState } from './endpoint.ts'

/** Envoy's cleanup_interval. */
const KEPT_MS = 5_000
/** A client that names a new address with every request must not fill our memory. */
const ENDPOINTS_MAX = 10_000

export interface OriginalAddress {
  /** A name only where the client of an explicit proxy said one; it is resolved, and judged, when it is dialled. */
  readonly address: string
  readonly isName?: true
  readonly port: number
}

export interface OriginalDstParts {
  readonly timers: TimerWheel
  readonly create: (endpoint: Endpoint) => EndpointState
  /** Link-local and metadata addresses: no client may make this proxy ask them. IPv6 in brackets. */
  readonly isForbidden: (host: string) => boolean
}

export class OriginalEndpoints {
  readonly config: OriginalDst
  readonly #parts: OriginalDstParts
  readonly #states = new Map<string, { readonly state: EndpointState; usedAt: number }>()
  #sweptAt = 0

  constructor(config: OriginalDst, parts: OriginalDstParts) {
    this.config = config
    this.#parts = parts
  }

  /** Undefined: the client named no address, or one that it may not, or that is among those tried. */
  pick(wanted: OriginalAddress | undefined, tried: readonly EndpointState[] = []): EndpointState | undefined {
    const state = wanted && this.#stateAt(wanted)
    return state !== undefined && tried.includes(state) ? undefined : state
  }

  #stateAt(wanted: OriginalAddress): EndpointState | undefined {
    const family = isIP(wanted.address)
    const mayBe = family !== 0 || wanted.isName === true
    const host = family === 6 ? `[${wanted.address}]` : wanted.address
    if (!mayBe || this.#parts.isForbidden(host)) return undefined
    const port = this.config.portOverride ?? wanted.port
    if (port < 1 || port > 65_535) return undefined
    const now = this.#parts.timers.now()
    this.#sweep(now)
    const key = `${wanted.address}|${port}`
    const known = this.#states.get(key)
    if (known !== undefined) {
      known.usedAt = now
      return known.state
    }
    if (this.#states.size >= ENDPOINTS_MAX) return undefined
    const state = this.#parts.create(endpointAt(wanted.address, port))
    this.#states.set(key, { state, usedAt: now })
    return state
  }

  states(): readonly EndpointState[] {
    return Array.from(this.#states.values(), ({ state }) => state)
  }

  close(): void {
    for (const { state } of this.#states.values()) state.close()
    this.#states.clear()
  }

  #sweep(now: number): void {
    if (now - this.#sweptAt < KEPT_MS) return
    this.#sweptAt = now
    for (const [key, { state, usedAt }] of this.#states) {
      if (now - usedAt < KEPT_MS || state.active > 0) continue
      state.close()
      this.#states.delete(key)
    }
  }
}

function endpointAt(address: string, port: number): Endpoint {
  const workload = { cluster: '', namespace: '', workload: '' }
  return { address, port, health: 'healthy', weight: 1, transport: 'plain', workload }
}

/** What a client of an explicit proxy asks for: `name`, `name:port`, `address:port`. Lower case, as the codec gives it. */
export function parseAuthority(authority: string, portDefault: number): OriginalAddress | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9_](?:[a-z0-9_.-]{0,252})))(?::([0-9]{1,5}))?$/.exec(authority)
  const address = match?.[1] ?? match?.[2]
  if (address === undefined) return undefined
  const port = Number(match?.[3] ?? portDefault)
  return isIP(address) === 0 ? { address, port, isName: true } : { address, port }
}

/** `address:port`, IPv6 in brackets, and nothing else: a name would have to be resolved. */
export function parseOriginalAddress(text: string): OriginalAddress | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text)
  const address = match?.[1] ?? match?.[2]
  return address === undefined ? undefined : { address, port: Number(match?.[3]) }
}
