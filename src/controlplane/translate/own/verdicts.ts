/** What own policies are told about themselves: condition Accepted. Pure; every replica comes to the same words. */
import type { PolicyVerdict } from '../breakers.ts'
import { keyOf, type Snapshot } from '../../observe/facts.ts'
import { type AuthenticationPolicyFacts, NO_OWN } from '../../observe/facts-own.ts'
import { byAge } from '../security/scope.ts'
import { consumersOf } from './consumers.ts'
import type { PolicyScope, PolicyTarget } from '../../observe/facts-security.ts'

const ACCEPTED: PolicyVerdict = { accepted: true, reason: 'Accepted', message: '' }

export function rateLimitVerdicts(snapshot: Snapshot): ReadonlyMap<string, PolicyVerdict> {
  const { rateLimits } = snapshot.own ?? NO_OWN
  return new Map(
    [...rateLimits.values()].map((policy) => [keyOf(policy), problemOf(policy, snapshot) ?? ACCEPTED] as const),
  )
}

export function authenticationVerdicts(snapshot: Snapshot): ReadonlyMap<string, PolicyVerdict> {
  const { authentications, credentials } = snapshot.own ?? NO_OWN
  const owners = new Map<string, string>()
  return new Map(
    [...authentications.values()].sort(byAge).map((policy) => {
      const key = keyOf(policy)
      const found = problemOf(policy, snapshot) ?? conflictOf(policy, owners)
      if (found !== undefined) return [key, found] as const
      const { problems } = consumersOf(policy, credentials)
      if (problems.length === 0) return [key, ACCEPTED] as const
      const message = problems.slice(0, LINES_MAX).join('; ')
      return [key, { accepted: false, reason: 'CredentialsMissing', message } as const] as const
    }),
  )
}

const LINES_MAX = 20

/** Of two that speak of the very same, the older one counts. */
function conflictOf(policy: AuthenticationPolicyFacts, owners: Map<string, string>): PolicyVerdict | undefined {
  const { namespace, targets, selector = {} } = policy
  const places = targets?.map(({ kind, name }) => `${kind} ${name}`) ?? [
    JSON.stringify(Object.entries(selector).sort(([one], [other]) => (one < other ? -1 : 1))),
  ]
  let conflict: PolicyVerdict | undefined
  for (const place of places) {
    const id = `${namespace}/${place}`
    const owner = owners.get(id)
    if (owner === undefined) owners.set(id, keyOf(policy))
    else {
      const message = `${targets === undefined ? 'the same pods are' : `${place} is`} the older policy ${owner}’s`
      conflict = { accepted: false, reason: 'Conflicted', message }
    }
  }
  return conflict
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
