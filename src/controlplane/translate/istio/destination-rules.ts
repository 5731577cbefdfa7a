/**
 * Which DestinationRules hold for a host, as one caller sees it: first those of the caller's namespace, then of the
 * service's, then of the root namespaces; in each the most specific host. Several for one name are merged, the oldest
 * first. A rule for some workloads goes before one for all. Pure.
 */
import type { DestinationRuleSpec } from '../../../kube/kinds/networking.ts'
import { byAge, type DestinationRuleFacts } from '../../observe/facts-networking.ts'
import type { Caller } from './http-match.ts'
import { hasLabels, isExportedTo, matchesHost, resolveHost, ROOT_NAMESPACES } from './names.ts'

/** What the rules for one host say together. */
export interface HostRule {
  /** The objects it comes from: two callers with the same one get the same clusters. */
  readonly key: string
  readonly policy: DestinationRuleSpec['trafficPolicy']
  readonly subsets: NonNullable<DestinationRuleSpec['subsets']>
}

export interface DestinationRuleIndex {
  /** By namespace; the oldest first. */
  readonly byNamespace: ReadonlyMap<string, NamespaceRules>
}

interface NamespaceRules {
  readonly exact: ReadonlyMap<string, readonly DestinationRuleFacts[]>
  /** Longest first. */
  readonly wildcards: readonly (readonly [string, readonly DestinationRuleFacts[]])[]
}

export function rulesOf(table: ReadonlyMap<string, DestinationRuleFacts>, domain: string): DestinationRuleIndex {
  const byNamespace = new Map<string, Map<string, DestinationRuleFacts[]>>()
  for (const rule of [...table.values()].sort(byAge)) {
    const hosts = byNamespace.get(rule.namespace) ?? new Map<string, DestinationRuleFacts[]>()
    const host = resolveHost(rule.spec.host, rule.namespace, domain)
    hosts.set(host, [...(hosts.get(host) ?? []), rule])
    byNamespace.set(rule.namespace, hosts)
  }
  return { byNamespace: new Map([...byNamespace].map(([namespace, hosts]) => [namespace, split(hosts)])) }
}

function split(hosts: ReadonlyMap<string, readonly DestinationRuleFacts[]>): NamespaceRules {
  const wildcards = [...hosts].filter(([host]) => host.startsWith('*'))
  return { exact: hosts, wildcards: wildcards.sort(([one], [other]) => other.length - one.length) }
}

/** The rules that hold, in their order; none: undefined. */
export function rulesFor(
  { byNamespace }: DestinationRuleIndex,
  host: { readonly host: string; readonly namespace: string },
  caller: Caller,
): readonly DestinationRuleFacts[] | undefined {
  for (const namespace of new Set([caller.namespace, host.namespace, ...ROOT_NAMESPACES])) {
    const found = byNamespace.get(namespace)
    if (found === undefined) continue
    const candidates = [
      found.exact.get(host.host),
      ...found.wildcards.filter(([name]) => matchesHost(name, host.host)).map(([, rules]) => rules),
    ]
    for (const rules of candidates) {
      const holding = holdingOf(rules ?? [], caller)
      if (holding.length > 0) return holding
    }
  }
  return undefined
}

/** Rules for chosen workloads speak for those of their own namespace. */
function holdingOf(rules: readonly DestinationRuleFacts[], caller: Caller): readonly DestinationRuleFacts[] {
  const visible = rules.filter((rule) => isExportedTo(rule, caller.namespace))
  const chosen = visible.filter(({ namespace, spec }) => {
    const { matchLabels } = spec.workloadSelector ?? {}
    return matchLabels !== undefined && namespace === caller.namespace && hasLabels(caller.labels, matchLabels)
  })
  return chosen.length > 0 ? chosen : visible.filter(({ spec }) => spec.workloadSelector?.matchLabels === undefined)
}

export function mergeRules(rules: readonly DestinationRuleFacts[]): HostRule {
  const subsets = new Map<string, HostRule['subsets'][number]>()
  for (const { spec } of rules) {
    for (const subset of spec.subsets ?? []) if (!subsets.has(subset.name)) subsets.set(subset.name, subset)
  }
  return {
    key: rules.map(({ namespace, name }) => `${namespace}/${name}`).join(','),
    policy: rules.find(({ spec }) => spec.trafficPolicy !== undefined)?.spec.trafficPolicy,
    subsets: [...subsets.values()],
  }
}

type Policy = NonNullable<HostRule['policy']>
/** What a port may replace. */
export type PortPolicy = Omit<Policy, 'portLevelSettings'>

const PORT_FIELDS = ['loadBalancer', 'connectionPool', 'outlierDetection', 'tls'] as const

/** What holds for a port, and for a subset there: a subset's words over the rule's, a port's instead of all of them. */
export function policyFor({ policy, subsets }: HostRule, port: number, subset = ''): PortPolicy {
  const own = subset === '' ? undefined : subsets.find(({ name }) => name === subset)?.trafficPolicy
  return { ...atPort(policy, port), ...(own !== undefined && atPort(own, port)) }
}

/** A port that says something inherits nothing of the four fields it may say (Istio). */
function atPort(policy: Policy | undefined, port: number): PortPolicy {
  if (policy === undefined) return {}
  const { portLevelSettings = [], ...common } = policy
  const settings = portLevelSettings.find((found) => found.port?.number === port)
  if (settings === undefined) return common
  const rest = Object.fromEntries(Object.entries(common).filter(([field]) => !PORT_FIELDS.some((own) => own === field)))
  const { port: _, ...own } = settings
  return { ...rest, ...own }
}
