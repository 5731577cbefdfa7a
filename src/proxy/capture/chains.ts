/**
 * The chains of a captured listener, ready to be asked by destination: most specific first, as Envoy matches them
 * (address and port, port alone, the rest), then by protocol. Pure.
 */
import { type FilterChain, type Listener, PASSTHROUGH_CLUSTER, type Rejection } from '../../model/config.ts'
import type { CompiledChain } from '../compile.ts'
import { type Destination, nameOf } from './destination.ts'

/** What may serve one destination. Both: the first bytes decide. */
export interface Choice {
  /** Only for HTTP. */
  readonly http: CompiledChain | undefined
  /** For anything, or for what is not HTTP when `http` is there too. */
  readonly any: CompiledChain | undefined
  /** For TLS to a server name, `*.suffix` too; before both. */
  readonly named: ReadonlyMap<string, CompiledChain> | undefined
}

export interface CapturedChains {
  readonly byDestination: ReadonlyMap<string, Choice>
  readonly byPort: ReadonlyMap<number, Choice>
  readonly rest: Choice
}

export interface Chosen extends Choice {
  /** The configuration names the destination: its protocol is declared, unless both chains are there. */
  readonly known: boolean
}

/** What holds for captured listeners only, and what they cannot have. */
export function captureFault(listener: Listener): Pick<Rejection, 'path' | 'message'> | undefined {
  const isCaptured = listener.capture !== undefined
  for (const [index, chain] of listener.chains.entries()) {
    const message = isCaptured ? faultOf(chain, listener) : faultElsewhere(chain)
    if (message !== undefined) return { path: `filter_chains[${index}]`, message }
  }
  return undefined
}

function faultOf(
  { tls, serverNames, destinations, protocol, filter }: FilterChain,
  { capture }: Listener,
): string | undefined {
  if (tls !== undefined) return 'a captured connection is served without TLS'
  if (serverNames.length > 0 && (filter.kind !== 'tcp' || destinations === undefined)) {
    return 'a captured chain for server names carries bytes to a port'
  }
  if (filter.kind === 'tcp') return protocol === 'http' ? 'a chain for HTTP must read it' : undefined
  const mode = capture?.direction === 'outbound' ? 'forward' : 'inbound'
  return filter.mode === mode ? undefined : `a captured ${capture?.direction ?? ''} chain runs mode ${mode}`
}

function faultElsewhere({ destinations, protocol, filter }: FilterChain): string | undefined {
  if (destinations !== undefined || protocol !== undefined) return 'only a captured listener knows destinations'
  const isPassthrough = filter.kind === 'tcp' && filter.cluster === PASSTHROUGH_CLUSTER
  return isPassthrough ? 'only a captured connection has a destination of its own' : undefined
}

const NOTHING: Choice = { http: undefined, any: undefined, named: undefined }

export function capturedChains(pairs: readonly (readonly [FilterChain, CompiledChain])[]): CapturedChains {
  const byDestination = new Map<string, Choice>()
  const byPort = new Map<number, Choice>()
  let rest = NOTHING
  for (const [{ destinations, protocol, serverNames }, compiled] of pairs) {
    // As everywhere the first match wins.
    const joined = (before: Choice = NOTHING): Choice =>
      serverNames.length > 0
        ? { ...before, named: withNames(before.named, serverNames, compiled) }
        : protocol === 'http'
          ? { ...before, http: before.http ?? compiled }
          : { ...before, any: before.any ?? compiled }
    if (destinations === undefined) {
      rest = joined(rest)
      continue
    }
    const { addresses, port } = destinations
    if (addresses.length === 0) byPort.set(port, joined(byPort.get(port)))
    for (const address of addresses) {
      const key = nameOf({ address, port })
      byDestination.set(key, joined(byDestination.get(key)))
    }
  }
  return { byDestination, byPort, rest }
}

function withNames(
  before: Choice['named'],
  names: readonly string[],
  chain: CompiledChain,
): ReadonlyMap<string, CompiledChain> {
  const named = new Map(before)
  for (const name of names) if (!named.has(name)) named.set(name, chain)
  return named
}

/** The exact name, then the longest suffix. */
export function chainNamed(named: ReadonlyMap<string, CompiledChain>, serverName: string): CompiledChain | undefined {
  const exact = named.get(serverName)
  if (exact !== undefined || serverName === '') return exact
  for (let dot = serverName.indexOf('.'); dot >= 0; dot = serverName.indexOf('.', dot + 1)) {
    const found = named.get(`*${serverName.slice(dot)}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** What is left where no server name matched: a place that only has names is one like any other. */
export function withoutNames({ rest }: CapturedChains, { http, any, known }: Chosen): Chosen {
  return http === undefined && any === undefined ? { ...rest, known: false } : { http, any, named: undefined, known }
}

export function choose(chains: CapturedChains, destination: Destination): Chosen {
  const found = chains.byDestination.get(nameOf(destination)) ?? chains.byPort.get(destination.port)
  return found === undefined ? { ...chains.rest, known: false } : { ...found, known: true }
}
