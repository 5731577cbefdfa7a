/** RBAC as a filter of the chain: full policies, and the simplest form that routes of this mesh have. */
import type { PrincipalRule, RbacPolicy } from '../../model/config.ts'
import { allows } from '../identity.ts'
import { REFUSALS } from '../local-reply.ts'
import { type FilterCounters, filterKind } from './kind.ts'
import { Rbac } from './rbac.ts'
import type { Call, Refused, Step } from './step.ts'

const POLICY: Refused = { kind: 'refuse', refusal: REFUSALS.policy }
const DENIED: Refused = { kind: 'refuse', refusal: REFUSALS.denied }

const COUNTERS = ['allowed', 'denied', 'logged', 'not_logged'] as const
type Counters = FilterCounters<(typeof COUNTERS)[number]>

class RbacStep implements Step {
  readonly #rbac: Rbac
  readonly #counters: Counters

  constructor(rbac: Rbac, counters: Counters) {
    this.#rbac = rbac
    this.#counters = counters
  }

  request(call: Call): Refused | undefined {
    const { head, connection } = call
    const { peer, remoteAddress, client } = connection
    const directAddress = client?.directAddress ?? remoteAddress
    const { admitted, policy } = this.#rbac.judge({ head, peer, remoteAddress, directAddress, call })
    if (this.#rbac.action === 'log') {
      this.#counters[policy === '' ? 'not_logged' : 'logged']++
      if (policy !== '') call.note(`policy ${policy} asks to log this request`)
    }
    this.#counters[admitted ? 'allowed' : 'denied']++
    return admitted ? undefined : POLICY
  }
}

class AllowStep implements Step {
  readonly #rule: PrincipalRule
  readonly #counters: Counters

  constructor(rule: PrincipalRule, counters: Counters) {
    this.#rule = rule
    this.#counters = counters
  }

  request({ connection: { peer } }: Call): Refused | undefined {
    const admitted = peer !== undefined && allows(this.#rule, peer)
    this.#counters[admitted ? 'allowed' : 'denied']++
    return admitted ? undefined : DENIED
  }
}

type Rules = Rbac | PrincipalRule | undefined

interface Own {
  readonly rules: Rules
  readonly counters: Counters
}

const compileRbac = (policy: RbacPolicy): Rbac | undefined =>
  policy.rules === undefined ? undefined : new Rbac(policy)

interface Level {
  readonly rules: Rules
}

export const rbacKind = filterKind<RbacPolicy, RbacPolicy | { readonly allow: PrincipalRule }, Own, Level>({
  listed: (policy, { counters, statPrefix }) => ({
    rules: compileRbac(policy),
    counters: counters(`${statPrefix}rbac.`, COUNTERS),
  }),
  routed: (config) => ({ rules: 'allow' in config ? config.allow : compileRbac(config) }),
  // An empty one switches off what the level around it has.
  step: ({ rules: own, counters }, [level]) => {
    const rules = level === undefined ? own : level.rules
    if (rules === undefined) return undefined
    return rules instanceof Rbac ? new RbacStep(rules, counters) : new AllowStep(rules, counters)
  },
})
