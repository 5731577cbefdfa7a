/**
 * AuthorizationPolicy to RBAC rules, for one chain. Bytes have no paths, headers or tokens: a rule that asks for one
 * never admits them, and refuses them as if it did not ask (Istio's rule: what cannot be told is decided for refusal).
 */
import type {
  AccessPolicy,
  DestinationLeaf,
  PeerLeaf,
  Permission,
  Principal,
  RbacRules,
  RuleTree,
} from '../../../model/config.ts'
import type {
  AuthorizationAction,
  AuthorizationPolicyFacts,
  AuthorizationRuleSpec,
} from '../../observe/facts-security.ts'
import {
  type Attribute,
  conditionAttribute,
  operationAttributes,
  type RuleContext,
  sourceAttributes,
} from './conditions.ts'
import { and, ANY, isNever, not, or } from './trees.ts'

export interface ChainContext extends Omit<RuleContext, 'namespace'> {
  /** What the chain reads. */
  readonly reads: 'requests' | 'bytes'
}

/** Undefined: none of the policies has that action, so nothing stands in the way. */
export function rulesFor(
  action: AuthorizationAction,
  policies: readonly AuthorizationPolicyFacts[],
  context: ChainContext,
): RbacRules | undefined {
  const asked = policies.filter((policy) => policy.action === action)
  if (asked.length === 0) return undefined
  const compiled: Record<string, AccessPolicy> = {}
  for (const policy of asked) {
    for (const [index, rule] of policy.rules.entries()) {
      const found = compileRule(rule, action, { ...context, namespace: policy.namespace })
      if (found !== undefined) compiled[`ns[${policy.namespace}]-policy[${policy.name}]-rule[${index}]`] = found
    }
  }
  const isEmpty = Object.keys(compiled).length === 0
  // An ALLOW that matches nothing admits no one; a DENY that matches nothing stands in no one's way.
  if (isEmpty && action !== 'ALLOW') return undefined
  return { action: RBAC_ACTIONS[action], policies: compiled }
}

const RBAC_ACTIONS = { ALLOW: 'allow', DENY: 'deny', AUDIT: 'log', CUSTOM: 'deny' } as const

type Context = ChainContext & RuleContext

/** How a rule ends where it asks for what cannot be told. */
class Unanswerable extends Error {}

/** Undefined: it matches nothing here. */
function compileRule(
  { from = [], to = [], when = [] }: AuthorizationRuleSpec,
  action: AuthorizationAction,
  context: Context,
): AccessPolicy | undefined {
  const reader = new RuleReader(context, action === 'ALLOW' || action === 'AUDIT')
  const sources = sourceAttributes(context)
  const operations = operationAttributes(context)
  try {
    const callers = from.map(({ source = {} }) => reader.all(source, sources))
    const targets = to.map(({ operation = {} }) => reader.all(operation, operations))
    const conditions = when.map(({ key, values, notValues }) =>
      reader.one(conditionAttribute(key, context), values, notValues),
    )
    const who = [
      ...(callers.length > 0 ? [or(callers.map(({ caller }) => caller))] : []),
      ...conditions.map(({ caller }) => caller),
    ]
    const what = [
      ...(targets.length > 0 ? [or(targets.map(({ target }) => target))] : []),
      ...conditions.map(({ target }) => target),
    ]
    const principal = and<PeerLeaf>(who)
    const permission = and<DestinationLeaf>(what)
    if (isNever(principal) || isNever(permission)) return undefined
    return { permissions: [permission], principals: [principal] }
  } catch (error) {
    if (error instanceof Unanswerable) return undefined
    throw error
  }
}

interface Both {
  readonly caller: Principal
  readonly target: Permission
}

class RuleReader {
  readonly #bytes: boolean
  /** Where a question cannot be answered: whether that is a no (to admitting), or no question (to refusing). */
  readonly #admits: boolean

  constructor({ reads }: Context, admits: boolean) {
    this.#bytes = reads === 'bytes'
    this.#admits = admits
  }

  /** Everything that one source or operation says. */
  all(
    said: Readonly<Record<string, readonly string[] | undefined>>,
    attributes: Readonly<Record<string, Attribute>>,
  ): Both {
    const parts = Object.entries(attributes).map(([name, attribute]) =>
      this.one(attribute, said[name], said[`not${name.charAt(0).toUpperCase()}${name.slice(1)}`]),
    )
    return { caller: and(parts.map(({ caller }) => caller)), target: and(parts.map(({ target }) => target)) }
  }

  one(attribute: Attribute | undefined, values: readonly string[] = [], notValues: readonly string[] = []): Both {
    const isAsked = values.length > 0 || notValues.length > 0
    if (attribute === undefined || (isAsked && attribute.requests && this.#bytes)) {
      if (this.#admits) throw new Unanswerable()
      return { caller: ANY, target: ANY }
    }
    if (attribute.on === 'caller') return { caller: within(values, notValues, attribute.test), target: ANY }
    return { caller: ANY, target: within(values, notValues, attribute.test) }
  }
}

function within<L extends DestinationLeaf | PeerLeaf>(
  values: readonly string[],
  notValues: readonly string[],
  test: (value: string) => RuleTree<L>,
): RuleTree<L> {
  const some = values.length === 0 ? ANY : or(values.map(test))
  const none = notValues.length === 0 ? ANY : not(or(notValues.map(test)))
  return and<L>([some, none])
}
