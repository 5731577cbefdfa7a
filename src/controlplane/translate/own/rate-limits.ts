/**
 * RateLimitPolicies to filters: one per policy, so that a client is told about one limit, and its own rules instead of the
 * route's, so that no route has to know. Everything is what Envoy 1.40 runs as well. What a limit counts by and no
 * descriptor of Envoy's can read (the caller's certificate, a path without its query, that there is no such header) is
 * written into header fields that exist between two filters only, and that no client can bring along.
 */
import {
  type DescriptorAction,
  type DescriptorEntry,
  type GlobalRateLimit,
  type HeaderChange,
  type HeaderMatch,
  type HeaderMutations,
  type ListedFilter,
  type RateLimitPolicy,
  SHARED_LIMIT,
  type TokenBucket,
} from '../../../model/config.ts'
import type { LimitSpec, RateLimitPolicyFacts } from '../../observe/facts-own.ts'
import { LIMITS_AUTHORITY, limitsCluster } from './limit-owners.ts'
import { quoted } from '../security/patterns.ts'
import { claimPathOf, JWT_NAMESPACE, PAYLOAD } from '../security/tokens.ts'

/** How many values one limit tells apart at a time; at some 200 bytes each, 2 MiB. */
export const VALUES_MAX = 10_000
/** The server answers within a millisecond; a loop that is blocked for a moment must not cost an answer. */
const ASK_TIMEOUT_MS = 250
/** Envoy wants a bucket for requests that no limit is about; this one is never empty. */
const UNLIMITED: TokenBucket = { tokensMax: 0xff_ff_ff_ff, tokensPerFill: 0xff_ff_ff_ff, fillMs: 1_000 }
export const WINDOWS_MS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const
const ALL = { numerator: 100, denominator: 100 } as const
const NO = { numerator: 0, denominator: 100 } as const
/** What stands for a value that is not there: those requests have one limit together. */
const NOTHING = '-'
const HELPER = 'x-isthmus-limit-'

type Key = NonNullable<LimitSpec['by']>[number]

/** `consumer`: the field that tells whom an AuthenticationPolicy found. */
export function limitFilters(
  policies: readonly RateLimitPolicyFacts[],
  consumer: string | undefined,
): readonly ListedFilter[] {
  if (policies.length === 0) return []
  const helpers = helpersOf(policies, consumer)
  const counting = policies.map((policy) => (policy.scope === 'cluster' ? askingFilter(policy) : localFilter(policy)))
  return helpers === undefined ? counting : [helpers.before, ...counting, helpers.after]
}

function localFilter(policy: RateLimitPolicyFacts): ListedFilter {
  const { namespace, name, limits, isShadow } = policy
  const config: RateLimitPolicy = {
    statPrefix: `isthmus.${namespace}.${name}`,
    bucket: UNLIMITED,
    enabled: ALL,
    enforced: isShadow ? NO : ALL,
    rules: limits.map((limit) => ({ actions: actionsOf(limit) })),
    descriptors: limits.flatMap(descriptorsOf),
    descriptorsOnly: true,
    ...(limits.some(({ by = [] }) => by.length > 0) && { valuesMax: VALUES_MAX }),
    tellsClient: true,
    retryAfter: true,
    resourceExhausted: true,
  }
  return { name: `${SHARED_LIMIT}${namespace}/${name}`, kind: 'rateLimit', config: { policy: config } }
}

/** The control plane counts: what is sent is what the proxy would count by itself. */
function askingFilter(policy: RateLimitPolicyFacts): ListedFilter {
  const { namespace, name, limits, isShadow, refusesWhenUnavailable } = policy
  const key = `${namespace}/${name}`
  const config: GlobalRateLimit = {
    service: { cluster: limitsCluster(key), authority: LIMITS_AUTHORITY, timeoutMs: ASK_TIMEOUT_MS },
    domain: key,
    rules: limits.map((limit) => ({ actions: actionsOf(limit) })),
    statPrefix: `isthmus.${namespace}.${name}`,
    ...(isShadow && { enforced: NO }),
    ...(refusesWhenUnavailable && !isShadow && { failureModeDeny: true as const, statusOnError: 503 }),
    tellsClient: true,
    retryAfter: true,
    resourceExhausted: true,
  }
  return { name: `isthmus.cluster-limit/${key}`, kind: 'globalRateLimit', config }
}

/** The limit's name first, so that two that count by the same keys keep apart. */
function actionsOf({ name, by = [], when }: LimitSpec): readonly DescriptorAction[] {
  const headers = conditionsOf(when)
  const first: DescriptorAction =
    headers.length === 0
      ? { kind: 'generic', key: 'limit', value: name }
      : { kind: 'header-match', key: 'limit', value: name, expect: true, headers }
  return [first, ...by.map(actionOf)]
}

function descriptorsOf(limit: LimitSpec): NonNullable<RateLimitPolicy['descriptors']> {
  const { name, by = [], quotas = [] } = limit
  const entriesOf = (values: readonly string[]): readonly DescriptorEntry[] => [
    { key: 'limit', value: name },
    ...by.map((key, index) => ({ key: entryKey(key), value: values[index] ?? '' })),
  ]
  return [
    ...quotas.map((quota) => ({ entries: entriesOf(quota.values), bucket: bucketOf(quota, limit) })),
    { entries: entriesOf([]), bucket: bucketOf(limit, limit) },
  ]
}

type Amount = Pick<LimitSpec, 'requests' | 'burst'>

/** `amount`: the limit's own, or of one of its quotas. */
export function rateOf(
  { requests, burst = requests }: Amount,
  { window }: LimitSpec,
): { readonly requests: number; readonly windowMs: number; readonly burst: number } {
  return { requests, windowMs: WINDOWS_MS[window], burst }
}

function bucketOf(amount: Amount, limit: LimitSpec): TokenBucket {
  const { requests, windowMs, burst } = rateOf(amount, limit)
  return { tokensMax: burst, tokensPerFill: requests, fillMs: windowMs }
}

function entryKey({ type }: Key): string {
  // Envoy gives this entry its key itself.
  return type === 'Address' ? 'masked_remote_address' : type.toLowerCase()
}

function actionOf(key: Key): DescriptorAction {
  const entry = entryKey(key)
  switch (key.type) {
    case 'Method':
      return { kind: 'header', header: ':method', key: entry }
    case 'Address':
      return { kind: 'masked-address', bits4: key.ipv4Bits ?? 32, bits6: key.ipv6Bits ?? 64 }
    case 'Claim': {
      const { name = '' } = key
      const path = [PAYLOAD, ...(claimPathOf(name) ?? [name])]
      return { kind: 'metadata', key: entry, from: { namespace: JWT_NAMESPACE, path }, default: NOTHING }
    }
    default:
      return { kind: 'header', header: helperOf(key)?.name ?? '', key: entry }
  }
}

/** All of them hold; several values of one are alternatives. */
function conditionsOf({ paths = [], methods = [], headers = [] }: LimitSpec['when'] = {}): readonly HeaderMatch[] {
  const found: HeaderMatch[] = []
  if (paths.length > 0) found.push({ name: ':path', is: regex(`(${paths.map(pathPattern).join('|')})(\\?.*)?`) })
  if (methods.length > 0) found.push({ name: ':method', is: regex(methods.join('|')) })
  for (const { name, value } of headers) {
    const is = value === undefined ? ({ kind: 'present', present: true } as const) : exactly(value)
    found.push({ name: name.toLowerCase(), is })
  }
  return found
}

const regex = (value: string): HeaderMatch['is'] => ({ kind: 'regex', value })
const exactly = (value: string): HeaderMatch['is'] => ({ kind: 'exact', value })

function pathPattern(path: string): string {
  const text = quoted(path.replace(/^\*|\*$/g, ''))
  return `${path.startsWith('*') ? '[^?]*' : ''}${text}${path.endsWith('*') ? '[^?]*' : ''}`
}

interface Helper {
  readonly name: string
  /** What it says, in Envoy's formats; empty: nothing is known. */
  readonly value: string
}

function helperOf({ type, name = '' }: Key, consumer?: string): Helper | undefined {
  if (type === 'Consumer')
    return { name: `${HELPER}consumer`, value: consumer === undefined ? '' : `%REQ(${consumer})%` }
  if (type === 'Principal') return { name: `${HELPER}principal`, value: '%DOWNSTREAM_PEER_URI_SAN%' }
  if (type === 'Path') return { name: `${HELPER}path`, value: '%PATH(NQ:PATH)%' }
  const lower = name.toLowerCase()
  if (type === 'Header') return { name: `${HELPER}header-${lower}`, value: `%REQ(${lower})%` }
  return undefined
}

/** The fields are the filters' own: what a client brings of that name goes first, what they were goes no further. */
function helpersOf(
  policies: readonly RateLimitPolicyFacts[],
  consumer: string | undefined,
): { readonly before: ListedFilter; readonly after: ListedFilter } | undefined {
  const keys = policies.flatMap(({ limits }) => limits.flatMap(({ by = [] }) => by))
  const helpers = new Map<string, string>()
  for (const key of keys) {
    const helper = helperOf(key, consumer)
    if (helper !== undefined) helpers.set(helper.name, helper.value)
  }
  if (helpers.size === 0) return undefined
  const names = [...helpers.keys()].sort()
  const add = (name: string, value: string, action: HeaderChange['action']): HeaderMutations => ({
    addRequest: [{ name, value, action }],
  })
  const removed = names.map((name): HeaderMutations => ({ removeRequest: [name] }))
  const known = names.flatMap((name) => {
    const value = helpers.get(name) ?? ''
    return value === '' ? [] : [add(name, value, 'append')]
  })
  const rest = names.map((name) => add(name, NOTHING, 'add-if-absent'))
  const changes = [...removed, ...known, ...rest]
  return {
    before: { name: 'isthmus.limit-keys', kind: 'headerMutation', config: { changes } },
    after: { name: 'isthmus.limit-keys.end', kind: 'headerMutation', config: { changes: removed } },
  }
}
