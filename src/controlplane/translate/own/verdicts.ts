/** What own policies are told about themselves: condition Accepted. Pure; every replica comes to the same words. */
import type { PolicyVerdict } from '../breakers.ts'
import { keyOf, type Snapshot } from '../../observe/facts.ts'
import { NO_OWN } from '../../observe/facts-own.ts'
import type { PolicyScope, PolicyTarget } from '../../observe/facts-security.ts'

const ACCEPTED: PolicyVerdict = { accepted: true, reason: 'Accepted', message: '' }

export function rateLimitVerdicts(snapshot: Snapshot): ReadonlyMap<string, PolicyVerdict> {
  const { rateLimits } = snapshot.own ?? NO_OWN
  return new Map(
    [...rateLimits.values()].map((policy) => [keyOf(policy), problemOf(policy, snapshot) ?? ACCEPTED] as const),
  )
}

function problemOf(policy: PolicyScope & { problem?: string }, snapshot: Snapshot): PolicyVerdict | undefined {
  const { problem, targets = [] } = policy
  if (problem !== undefined) return { accepted: false, reason: 'Invalid', message: problem }
  for (const target of targets) {
    const found = targetProblem(policy.namespace, target, snapshot)
    if (found !== undefined) return found
  }
  return undefined
}

function targetProblem(
  namespace: string,
  { kind, name }: PolicyTarget,
  { services, imports }: Snapshot,
): PolicyVerdict | undefined {
  const key = `${namespace}/${name}`
  const found = kind === 'Service' ? services.get(key) : imports.get(key)
  if (found === undefined) {
    const message = `${kind} ${name} is not in namespace ${namespace}`
    return { accepted: false, reason: 'TargetNotFound', message }
  }
  // What is declared as bytes has no requests; what nobody declared may have.
  if (found.ports.some(({ protocol }) => protocol !== 'tcp')) return undefined
  return { accepted: false, reason: 'NothingToLimit', message: `${kind} ${name} has no port for requests` }
}
