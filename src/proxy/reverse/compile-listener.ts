/**
 * A generic listener compiled: chains by what chooses them, and their TLS with its key material read. What a chain's
 * requests meet is compile.ts's, as for any other.
 */
import type { ChainMatch, GenericChain, GenericListener, ServerTls } from '../../model/config.ts'
import type { CompiledChain } from '../compile.ts'
import type { NetworkFilters } from '../l4/network-filters.ts'
import type { HeaderWanted } from '../l4/proxy-header.ts'
import { type ChainTable, compileChains, findTwin } from './chain-match.ts'
import type { Wanted } from './inspect.ts'
import { ServerTlsContext } from './server-tls.ts'
import { type Material, readMaterial, type SecretOf, TlsFault } from './tls-files.ts'

export interface CompiledGeneric {
  /** Undefined: the chain is chosen without a byte from the client. */
  readonly wanted: Wanted | undefined
  /** Read before that. */
  readonly header: HeaderWanted | undefined
  readonly chains: ChainTable<OpenChain>
  readonly rest: OpenChain | undefined
  /** What a connection's chain has become under the next configuration. */
  readonly byKey: ReadonlyMap<string, OpenChain>
}

export interface OpenChain {
  /** Its name, or what it matches where that is no name. */
  readonly key: string
  readonly chain: CompiledChain
  /** `awaited`: a secret that it names has not come. */
  readonly tls: ServerTlsContext | 'awaited' | undefined
  readonly network: NetworkFilters | undefined
}

/** Place of the default chain. */
const REST = '#default'
const INSPECT_MS = 15_000 // Envoy's listener_filters_timeout

/** Contexts stay as long as nothing that they are made of changes: tickets and servers live in them. */
export class TlsContexts {
  readonly #known = new WeakMap<ServerTls, { readonly parts: readonly unknown[]; readonly context: ServerTlsContext }>()

  of(tls: ServerTls, handshakeMs: number | undefined, secretOf: SecretOf): ServerTlsContext | 'awaited' {
    const parts = [handshakeMs, ...secretsOf(tls).map(secretOf)]
    const known = this.#known.get(tls)
    if (known?.parts.every((part, index) => part === parts[index]) === true) return known.context
    const material: Material | undefined = readMaterial(tls, secretOf)
    if (material === undefined) return 'awaited'
    const context = new ServerTlsContext(tls, material, handshakeMs)
    this.#known.set(tls, { parts, context })
    return context
  }
}

function secretsOf({ certificates, validation }: ServerTls): readonly string[] {
  const named = certificates.flatMap((source) => ('sds' in source ? [source.sds] : []))
  return validation?.sds === undefined ? named : [...named, validation.sds]
}

export interface ListenerTools {
  readonly contexts: TlsContexts
  readonly secretOf: SecretOf
  readonly networkOf: (chain: GenericChain) => NetworkFilters | undefined
  readonly compileOne: (chain: GenericChain) => CompiledChain
}

/** Throws TlsFault where key material is not as it should be. */
export function compileGeneric(listener: GenericListener, tools: ListenerTools): CompiledGeneric {
  const byKey = new Map<string, OpenChain>()
  const open = (chain: GenericChain, place: string): OpenChain => {
    const { name } = chain
    const context = contextOf(chain, place, tools)
    // What it matches is what a connection came in by; a place may be another chain's the next time.
    const key =
      name === '' || byKey.has(name) ? `${place === REST ? REST : ''}${JSON.stringify(chain.match ?? {})}` : name
    const compiled = { key, chain: tools.compileOne(chain), tls: context, network: tools.networkOf(chain) }
    byKey.set(key, compiled)
    return compiled
  }
  const { chains, defaultChain } = listener
  const opened = chains.map((chain, index): [ChainMatch, OpenChain] => [chain.match ?? {}, open(chain, `#${index}`)])
  return {
    wanted: wantedBy(listener),
    header: headerOf(listener),
    chains: compileChains(opened),
    rest: defaultChain === undefined ? undefined : open(defaultChain, REST),
    byKey,
  }
}

function contextOf({ tls, handshakeMs }: GenericChain, place: string, tools: ListenerTools): OpenChain['tls'] {
  if (tls === undefined) return undefined
  try {
    return tools.contexts.of(tls, handshakeMs, tools.secretOf)
  } catch (error) {
    if (error instanceof TlsFault) {
      const chain = place === REST ? 'default_filter_chain' : `filter_chains[${place.slice(1)}]`
      error.path = `${chain}.transport_socket.typed_config.common_tls_context`
    }
    throw error
  }
}

/** The index of a chain that another one hides. */
export const hiddenChain = ({ chains }: GenericListener): number | undefined =>
  findTwin(chains.map(({ match }) => match ?? {}))

function headerOf({
  inspect: { proxyProtocol, timeoutMs, goOnAfterTimeout },
}: GenericListener): HeaderWanted | undefined {
  if (proxyProtocol === undefined) return undefined
  return { ...proxyProtocol, timeoutMs: timeoutMs ?? INSPECT_MS, goesOnAfterTimeout: goOnAfterTimeout === true }
}

/** Without the inspector TLS has no name that a match could see, as in Envoy. */
function wantedBy({ inspect }: GenericListener): Wanted | undefined {
  const [tls, http] = [inspect.tls === true, inspect.http === true]
  if (!tls && !http) return undefined
  return {
    tls,
    http,
    timeoutMs: inspect.timeoutMs ?? INSPECT_MS,
    goesOnAfterTimeout: inspect.goOnAfterTimeout === true,
  }
}
