/**
 * CircuitBreakerPolicies to the clusters they apply to, and what each policy is told about itself. Pure. The older
 * policy keeps a target that two of them name, so that adding one changes nothing that already holds.
 */
import type { ServiceBreaker } from '../../model/config.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import { clusterName, hostOf } from '../../model/sni.ts'
import { type BreakerPolicyFacts, type BreakerTarget, keyOf, type Snapshot } from '../observe/facts.ts'

/** By the name of the outbound cluster. */
export type Breakers = ReadonlyMap<string, ServiceBreaker>

export interface PolicyVerdict {
  readonly accepted: boolean
  readonly reason: 'Accepted' | 'Invalid' | 'TargetNotFound' | 'Conflicted' | 'NothingToLimit' | 'CredentialsMissing'
  readonly message: string
}

type BreakerTables = Pick<Snapshot, 'breakers' | 'services' | 'imports' | 'mesh'>

export function breakersOf(tables: BreakerTables): {
  readonly breakers: Breakers
  readonly verdicts: ReadonlyMap<string, PolicyVerdict>
  /** Which policy a cluster follows, as namespace/name. */
  readonly owners: ReadonlyMap<string, string>
} {
  const breakers = new Map<string, ServiceBreaker>()
  const owners = new Map<string, string>()
  const verdicts = new Map<string, PolicyVerdict>()
  for (const policy of [...tables.breakers.values()].sort(byAge)) {
    const { breaker } = policy
    const key = keyOf(policy)
    if ('problem' in breaker) {
      verdicts.set(key, { accepted: false, reason: 'Invalid', message: breaker.problem })
      continue
    }
    const problems: Problem[] = []
    for (const target of policy.targets) {
      const { names, problem } = clustersOf(policy, target, tables)
      if (problem !== undefined) problems.push({ reason: 'TargetNotFound', message: problem })
      for (const name of names) {
        const owner = owners.get(name)
        if (owner !== undefined && owner !== key) {
          problems.push({ reason: 'Conflicted', message: `${describe(target)} follows the older policy ${owner}` })
          continue
        }
        owners.set(name, key)
        breakers.set(name, breaker)
      }
    }
    verdicts.set(key, verdictOf(problems))
  }
  return { breakers, verdicts, owners }
}

interface Problem {
  readonly reason: 'TargetNotFound' | 'Conflicted'
  readonly message: string
}

/** One target that is missing makes the whole policy not accepted, though it holds for the others: it shows, then. */
function verdictOf(problems: readonly Problem[]): PolicyVerdict {
  const [first] = problems
  if (first === undefined) return { accepted: true, reason: 'Accepted', message: '' }
  const messages = new Set(problems.map(({ message }) => message))
  return { accepted: false, reason: first.reason, message: [...messages].join('; ') }
}

function clustersOf(
  { namespace }: BreakerPolicyFacts,
  target: BreakerTarget,
  { services, imports, mesh }: BreakerTables,
): { names: readonly string[]; problem?: string } {
  const key = `${namespace}/${target.name}`
  const isService = target.kind === 'Service'
  const found = isService ? services.get(key) : imports.get(key)
  if (found === undefined) return { names: [], problem: `${describe(target)} is not in namespace ${namespace}` }
  const ports = found.ports.filter(({ port }) => target.port === undefined || target.port === port)
  if (ports.length === 0) return { names: [], problem: `${describe(target)} has no such TCP port` }
  const host = hostOf({ service: target.name, namespace, domain: isService ? mesh.domain : CLUSTERSET_DOMAIN })
  return { names: ports.map(({ port }) => clusterName('outbound', port, host)) }
}

const describe = ({ kind, name, port }: BreakerTarget): string =>
  `${kind} ${name}${port === undefined ? '' : ` port ${port}`}`

function byAge(one: BreakerPolicyFacts, other: BreakerPolicyFacts): number {
  if (one.createdAt !== other.createdAt) return one.createdAt < other.createdAt ? -1 : 1
  return keyOf(one) < keyOf(other) ? -1 : 1
}
