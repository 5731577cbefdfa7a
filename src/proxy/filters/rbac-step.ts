/** RBAC as a filter of the chain: full policies, and the simplest form that routes of this mesh have. */
import type { PrincipalRule, RbacPolicy } from '../../model/config.ts'
import { allows } from '../identity.ts'
import { REFUSALS } from '../local-reply.ts'
import { filterKind } from './kind.ts'
import { Rbac } from './rbac.ts'
import type { Call, Refused, Step } from './step.ts'

const POLICY: Refused = { kind: 'refuse', refusal: REFUSALS.policy }
const DENIED: Refused = { kind: 'refuse', refusal: REFUSALS.denied }

class RbacStep implements Step {
  readonly #rbac: Rbac

  constructor(policy: RbacPolicy) {
    this.#rbac = new Rbac(policy)
  }

  request(call: Call): Refused | undefined {
    const { head, connection } = call
    const { peer, remoteAddress, client } = connection
    const directAddress = client?.directAddress ?? remoteAddress
    const { admitted, policy } = this.#rbac.judge({ head, peer, remoteAddress, directAddress })
    if (this.#rbac.action === 'log' && policy !== '') call.note(`policy ${policy} asks to log this request`)
    return admitted ? undefined : POLICY
  }
}

class AllowStep implements Step {
  readonly #rule: PrincipalRule

  constructor(rule: PrincipalRule) {
    this.#rule = rule
  }

  request({ connection: { peer } }: Call): Refused | undefined {
    return peer !== undefined && allows(this.#rule, peer) ? undefined : DENIED
  }
}

const compileRbac = (policy: RbacPolicy): RbacStep | undefined =>
  policy.rules === undefined ? undefined : new RbacStep(policy)

export const rbacKind = filterKind<
  RbacPolicy,
  RbacPolicy | { readonly allow: PrincipalRule },
  Step | undefined,
  Step | undefined
>({
  listed: compileRbac,
  routed: (config) => ('allow' in config ? new AllowStep(config.allow) : compileRbac(config)),
  // An empty one switches off what the level around it has.
  step: (own, levels) => (levels.length === 0 ? own : levels[0]),
})
