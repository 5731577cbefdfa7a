/** What a handler gets to see: the server's parts, and one request against one kind. */
import type { Clock } from '../../../runtime/clock.ts'
import type { Log } from '../../../runtime/log.ts'
import type { Random } from '../../../runtime/random.ts'
import type { Attributes, Decision, RbacRules } from '../auth/rbac.ts'
import type { TokenAuthority } from '../auth/tokens.ts'
import type { User } from '../auth/user.ts'
import type { RequestInfo } from '../http/request-info.ts'
import type { HttpRequest, HttpResponse } from '../http/response.ts'
import type { ClusterIpAllocator } from '../kinds/cluster-ip.ts'
import type { Kind, KindVersion, PodMutator, RuleContext } from '../kinds/kind.ts'
import type { KindRegistry } from '../kinds/registry.ts'
import type { Subject } from '../status.ts'
import type { Store } from '../store/store.ts'

export interface LogOptions {
  readonly follow: boolean
  readonly previous: boolean
  readonly timestamps: boolean
  readonly tailLines?: number
  readonly sinceSeconds?: number
  readonly limitBytes?: number
  /** Aborts when the reader has gone. */
  readonly signal: AbortSignal
}

/** The node agent's hook behind `pods/<name>/log`. */
export type LogReader = (
  namespace: string,
  pod: string,
  container: string,
  options: LogOptions,
) => AsyncIterable<Uint8Array>

export interface ApiContext {
  readonly store: Store
  readonly registry: KindRegistry
  readonly clusterIps: ClusterIpAllocator
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly tokens: TokenAuthority
  readonly version: string
  readonly rbac: () => RbacRules
  readonly authorize: (user: User, attributes: Attributes) => Decision
  /** Told of every request that was refused with 403. */
  readonly onForbidden: (user: User, message: string) => void
  readonly logs: () => LogReader | undefined
  readonly mutatePod?: PodMutator
  /** Aborts when the server closes, so that watches end cleanly. */
  readonly closing: AbortSignal
}

/** One request, before its kind is known. */
export interface Exchange {
  readonly context: ApiContext
  readonly request: HttpRequest
  readonly response: HttpResponse
  readonly method: string
  readonly info: RequestInfo
  readonly query: URLSearchParams
  readonly user: User
  readonly warnings: string[]
}

/** One request against a served kind. */
export interface Scope extends Exchange {
  readonly kind: Kind
  readonly version: KindVersion
  readonly dryRun: boolean
}

export function ruleContext(scope: Scope): RuleContext {
  const { store, registry, clusterIps, clock, random, mutatePod } = scope.context
  const warn = (message: string): void => void scope.warnings.push(message)
  const rules = { store, registry, clusterIps, clock, random, dryRun: scope.dryRun, warn }
  return mutatePod === undefined ? rules : { ...rules, mutatePod }
}

export function subjectOf(scope: Pick<Scope, 'kind'>): Subject {
  return { group: scope.kind.group, plural: scope.kind.plural, kind: scope.kind.kind }
}
