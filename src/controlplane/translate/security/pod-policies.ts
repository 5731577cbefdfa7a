/**
 * What policies mean for one pod: which of its ports take whom, and what stands before each of its chains. Built once
 * per pod and policies; inbound.ts and capture.ts ask it chain by chain. The order is Istio's: tokens, CUSTOM, DENY,
 * ALLOW, AUDIT.
 */
import {
  type ConnectionRules,
  DEFAULT_FILTERS,
  type FilterChain,
  type GenericChain,
  type ListedFilter,
  type RbacPolicy,
} from '../../../model/config.ts'
import type {
  AuthorizationPolicyFacts,
  MeshSettings,
  RequestAuthenticationFacts,
} from '../../observe/facts-security.ts'
import type { ServiceFacts } from '../../observe/facts.ts'
import { type ChainContext, rulesFor } from './authorization.ts'
import type { LocalNames } from './callers.ts'
import { type Custom, customFilters } from './custom.ts'
import { jwtFilter, type KeyTables } from './jwt.ts'
import type { Mode, PodModes } from './peer-modes.ts'
import type { PolicyScope } from '../../observe/facts-security.ts'
import type { OwnPolicies } from '../own/own-policies.ts'
import { namesService } from './scope.ts'

/** Where a chain leads: the pod's own port and address, and the server name by which it is chosen (empty: plaintext). */
export interface ChainPlace {
  /** Undefined: any that no service names. */
  readonly port: number | undefined
  readonly address: string
  /** Undefined: one of several, which the handshake says. */
  readonly serverName: string | undefined
  /** That the chain serves; more than one where plaintext cannot tell them apart. */
  readonly services: readonly ServiceFacts[]
  /** By the name of the cluster set, not by a local one. */
  readonly isClusterset?: boolean
  /** The port takes gRPC-Web. */
  readonly isGrpcWeb?: boolean
}

export interface PodPolicyInput extends KeyTables {
  readonly modes: PodModes
  /** Those by label or for all, and those that name one of the pod's services. */
  readonly authorization: readonly AuthorizationPolicyFacts[]
  readonly authentication: readonly RequestAuthenticationFacts[]
  readonly local: LocalNames
  readonly settings: MeshSettings
  /** The product's own. */
  readonly own?: OwnPolicies
}

/** First, so that refusals of all others reach the browser in its own form. */
const GRPC_WEB: ListedFilter = { name: 'envoy.filters.http.grpc_web', kind: 'grpcWeb', config: {} }

/** A chain of any kind of listener. */
interface Guarded extends Pick<FilterChain, 'filter'> {
  readonly network?: FilterChain['network'] | GenericChain['network']
}

export class PodPolicies {
  readonly #input: PodPolicyInput

  constructor(input: PodPolicyInput) {
    this.#input = input
  }

  get modes(): PodModes {
    return this.#input.modes
  }

  /** Limits that the control plane counts, by policy. */
  get counted(): readonly string[] {
    return this.#input.own?.counted ?? []
  }

  modeAt(port: number): Mode {
    const { mode, ports } = this.#input.modes
    return ports.get(port) ?? mode
  }

  /** The chain with what has to be passed before it. */
  guard<C extends Guarded>(chain: C, place: ChainPlace): C {
    const policies = speakingTo(this.#input.authorization, place.services)
    if (chain.filter.kind === 'tcp') return this.#guardBytes(chain, policies, place)
    // Gateways have tables of their own, and their callers are not the pod's: own policies hold at the pods behind.
    const own = 'rds' in chain.filter.routes ? undefined : this.#input.own
    const authentication = own?.authenticationAt(place)
    const tokens = jwtFilter(speakingTo(this.#input.authentication, place.services), this.#input)
    const found = [
      ...(authentication?.filters ?? []),
      ...(tokens === undefined ? [] : [tokens]),
      ...this.#requestFilters(policies, place, own?.consumerHeaderAt(place)),
      // Whoever is refused for who they are uses up nobody's limit.
      ...(own?.limitsAt(place) ?? []),
    ]
    const { paths } = this.#input.settings
    const asked = authentication === undefined ? chain.filter : authentication.over(chain.filter)
    const read = paths === undefined ? asked : { ...asked, paths }
    const filters = filtersWith(found, place)
    if (filters === undefined) return paths === undefined ? chain : { ...chain, filter: read }
    return { ...chain, filter: { ...read, filters } }
  }

  #requestFilters(
    policies: readonly AuthorizationPolicyFacts[],
    place: ChainPlace,
    consumerHeader: string | undefined,
  ): readonly ListedFilter[] {
    const context: ChainContext = {
      place,
      local: this.#input.local,
      reads: 'requests',
      ...(consumerHeader !== undefined && { consumerHeader }),
    }
    const enforced = policies.filter(({ dryRun }) => !dryRun)
    const tried = policies.filter(({ dryRun }) => dryRun)
    const filters: ListedFilter[] = []
    for (const custom of customRules(enforced, context)) {
      filters.push(...customFilters(custom, this.#input.settings.providers.get(custom.provider)))
    }
    const add = (name: string, config: RbacPolicy): void => void filters.push({ name, kind: 'rbac', config })
    for (const action of ['DENY', 'ALLOW', 'AUDIT'] as const) {
      const rules = rulesFor(action, enforced, context)
      const shadow = rulesFor(action, tried, context)
      const low = action.toLowerCase()
      if (shadow !== undefined) {
        add(`isthmus.authz.dry-run.${low}`, { shadow, shadowStatPrefix: `istio_dry_run_${low}_` })
      }
      if (rules !== undefined) add(`isthmus.authz.${low}`, { rules })
    }
    return filters
  }

  #guardBytes<C extends Guarded>(
    chain: C,
    policies: readonly AuthorizationPolicyFacts[],
    place: ChainContext['place'],
  ): C {
    const context: ChainContext = { place, local: this.#input.local, reads: 'bytes' }
    const enforced = policies.filter(({ dryRun }) => !dryRun)
    const network: ConnectionRules[] = []
    // Nobody is asked about bytes: what would be asked is refused. AUDIT counts.
    for (const action of ['CUSTOM', 'DENY', 'ALLOW', 'AUDIT'] as const) {
      const rules = rulesFor(action, enforced, context)
      if (rules !== undefined) network.push({ kind: 'rbac', statPrefix: `tcp_${action.toLowerCase()}.`, rules })
    }
    return network.length === 0 ? chain : { ...chain, network }
  }
}

/** Undefined: the mesh's own filters alone, which a chain need not list. */
function filtersWith(found: readonly ListedFilter[], place: ChainPlace): readonly ListedFilter[] | undefined {
  const web = place.isGrpcWeb === true ? [GRPC_WEB] : []
  if (found.length === 0 && web.length === 0) return undefined
  const [cors, ...rest] = DEFAULT_FILTERS
  // A preflight carries no credentials, so CORS stays first.
  return [...web, ...(cors === undefined ? [] : [cors]), ...found, ...rest]
}

/** By provider, in the order of their names, so that two replicas build the same. */
function customRules(policies: readonly AuthorizationPolicyFacts[], context: ChainContext): readonly Custom[] {
  const providers = new Set(policies.filter(({ action }) => action === 'CUSTOM').map(({ provider }) => provider))
  return [...providers].sort().flatMap((provider) => {
    const own = policies.filter((policy) => policy.provider === provider)
    const rules = rulesFor('CUSTOM', own, context)
    return rules === undefined ? [] : [{ provider, rules }]
  })
}

function speakingTo<P extends PolicyScope>(policies: readonly P[], services: readonly ServiceFacts[]): readonly P[] {
  return policies.filter((policy) => policy.targets === undefined || services.some((one) => namesService(policy, one)))
}
