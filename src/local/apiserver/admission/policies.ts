/**
 * ValidatingAdmissionPolicies: CEL rules that a write must meet, wherever a binding puts them in force. Judged in one turn,
 * before webhooks are asked. Parameters and the `authorizer` are not offered: a policy that wants them is refused when it
 * is created (kinds/policy-rules.ts), so that none is stored that would not be judged.
 */
import { CelError, compileExpression, type Expression } from '../../../kube/cel/expression.ts'
import { celValue } from '../../../kube/cel/value.ts'
import type { WebhookRule } from '../../../kube/kinds/admission.ts'
import { compileSelector } from '../../cluster/label-selector.ts'
import type { Scope } from '../handlers/scope.ts'
import { child, children, nameOf, text, texts, type ApiObject, type JsonObject } from '../object.ts'
import { ApiError } from '../status.ts'
import type { Store } from '../store/store.ts'
import type { Hook } from './hooks.ts'
import { type Attempt, conditionsHold, matchingVersion } from './matching.ts'

const POLICIES = 'validatingadmissionpolicies.admissionregistration.k8s.io'
const BINDINGS = 'validatingadmissionpolicybindings.admissionregistration.k8s.io'

/** What expressions of a policy may name. */
export const POLICY_VARIABLES = ['object', 'oldObject', 'request', 'namespaceObject', 'variables']
const MESSAGE_CHARS_MAX = 5_120
const CODES: Readonly<Record<string, number>> = {
  Invalid: 422,
  Forbidden: 403,
  Unauthorized: 401,
  RequestEntityTooLarge: 413,
}

interface Validation {
  readonly source: string
  readonly expression: Expression
  readonly message: string
  readonly messageExpression: Expression | undefined
  readonly reason: string
}

interface Policy {
  readonly name: string
  readonly ignoresFailure: boolean
  readonly match: Match
  readonly conditions: Hook
  readonly variables: readonly { readonly name: string; readonly expression: Expression }[]
  readonly validations: readonly Validation[]
}

/** Two questions of the same form: what is meant, and what of it is not. */
interface Match {
  readonly meant: Hook
  readonly excluded: Hook
}

/** Both are never changed in place. */
const policies = new WeakMap<ApiObject, Policy>()
const matches = new WeakMap<ApiObject, Match>()

/** Throws the first refusal; warns where a binding only warns. */
export function judgePolicies(scope: Scope, attempt: Attempt, request: () => object): void {
  const { store } = scope.context
  if (store.count(BINDINGS) === 0) return
  for (const binding of store.list(BINDINGS)) {
    const found = store.get(POLICIES, text(binding['spec'], 'policyName'))
    if (found === undefined) continue
    const policy = remembered(policies, found, compiled)
    const bound = remembered(matches, binding, ({ spec }) => matchOf(child(spec, 'matchResources'), true))
    if (!isMeant(policy.match, attempt) || !isMeant(bound, attempt)) continue
    for (const failure of failuresOf(policy, attempt, { store, request: request() })) {
      act(scope, { policy: policy.name, binding: nameOf(binding), actions: actionsOf(binding) }, failure)
    }
  }
}

function remembered<V>(memory: WeakMap<ApiObject, V>, object: ApiObject, make: (object: ApiObject) => V): V {
  let value = memory.get(object)
  if (value === undefined) {
    value = make(object)
    memory.set(object, value)
  }
  return value
}

const actionsOf = ({ spec }: ApiObject): readonly string[] => texts(spec, 'validationActions')

function isMeant({ meant, excluded }: Match, attempt: Attempt): boolean {
  return matchingVersion(meant, attempt) !== undefined && matchingVersion(excluded, attempt) === undefined
}

const EVERYTHING: WebhookRule = { apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*/*'] }

/** `isBinding`: one that names no rules leaves what its policy says. */
function matchOf(constraints: JsonObject, isBinding = false): Match {
  const rules = children(constraints, 'resourceRules') as unknown as WebhookRule[]
  const selectors = {
    namespaces: compileSelector(child(constraints, 'namespaceSelector')),
    objects: compileSelector(child(constraints, 'objectSelector')),
    conditions: [],
  }
  const matchPolicy = text(constraints, 'matchPolicy') === 'Exact' ? 'Exact' : 'Equivalent'
  const hook = (own: readonly WebhookRule[]): Hook => ({
    ...selectors,
    webhook: { name: '', clientConfig: {}, matchPolicy, rules: [...own] } as unknown as Hook['webhook'],
  })
  const excluded = children(constraints, 'excludeResourceRules') as unknown as WebhookRule[]
  return { meant: hook(isBinding && rules.length === 0 ? [EVERYTHING] : rules), excluded: hook(excluded) }
}

function compiled(object: ApiObject): Policy {
  const spec = child(object, 'spec')
  const compile = (source: string): Expression => compileExpression(source, POLICY_VARIABLES)
  const match = matchOf(child(spec, 'matchConstraints'))
  return {
    name: nameOf(object),
    ignoresFailure: text(spec, 'failurePolicy') === 'Ignore',
    match,
    conditions: {
      ...match.meant,
      conditions: children(spec, 'matchConditions').map((condition) => ({
        name: text(condition, 'name'),
        expression: compile(text(condition, 'expression')),
      })),
    },
    variables: children(spec, 'variables').map((variable) => ({
      name: text(variable, 'name'),
      expression: compile(text(variable, 'expression')),
    })),
    validations: children(spec, 'validations').map((validation) => {
      const messageExpression = text(validation, 'messageExpression')
      return {
        source: text(validation, 'expression').trim(),
        expression: compile(text(validation, 'expression')),
        message: text(validation, 'message').trim(),
        messageExpression: messageExpression === '' ? undefined : compile(messageExpression),
        reason: text(validation, 'reason') || 'Invalid',
      }
    }),
  }
}

interface Failure {
  readonly message: string
  readonly reason: string
}

function* failuresOf(
  policy: Policy,
  attempt: Attempt,
  { store, request }: { readonly store: Store; readonly request: object },
): Iterable<Failure> {
  try {
    if (!conditionsHold(policy.conditions, attempt, request)) return
  } catch (error) {
    yield* brokenBy(policy, error)
    return
  }
  const values = variablesOf(policy, attempt, { store, request })
  for (const validation of policy.validations) {
    try {
      if (validation.expression.evaluate(values) === true) continue
    } catch (error) {
      yield* brokenBy(policy, error, `expression '${validation.source}' resulted in error: `)
      continue
    }
    yield { message: messageOf(validation, values), reason: validation.reason }
  }
}

/** What cannot be judged is refused, unless the policy's owner said otherwise. */
function* brokenBy({ ignoresFailure }: Policy, error: unknown, what = ''): Iterable<Failure> {
  if (!(error instanceof CelError)) throw error
  if (!ignoresFailure) yield { message: `${what}${error.message}`, reason: 'Invalid' }
}

function variablesOf(
  { variables }: Policy,
  { object, old, namespace }: Attempt,
  { store, request }: { readonly store: Store; readonly request: object },
): Readonly<Record<string, unknown>> {
  const own = Object.create(null) as Record<string, unknown>
  const values = {
    object: object === undefined ? null : celValue(undefined, object),
    oldObject: old === undefined ? null : celValue(undefined, old),
    request: celValue(undefined, request),
    namespaceObject: namespace === '' ? null : celValue(undefined, store.get('namespaces', namespace) ?? null),
    variables: own,
  }
  for (const { name, expression } of variables) {
    try {
      own[name] = expression.evaluate(values)
    } catch (error) {
      // Only who names it is concerned, and finds no such key.
      if (!(error instanceof CelError)) throw error
    }
  }
  return values
}

function messageOf(
  { message, messageExpression, source }: Validation,
  values: Readonly<Record<string, unknown>>,
): string {
  const fallback = message === '' ? `failed expression: ${source}` : message
  if (messageExpression === undefined) return fallback
  try {
    const said = messageExpression.evaluate(values)
    const isUsable = typeof said === 'string' && said.trim() !== '' && !said.includes('\n')
    return isUsable ? said.slice(0, MESSAGE_CHARS_MAX) : fallback
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return fallback
  }
}

interface Bound {
  readonly policy: string
  readonly binding: string
  readonly actions: readonly string[]
}

function act(scope: Scope, { policy, binding, actions }: Bound, { message, reason }: Failure): void {
  if (actions.includes('Warn'))
    scope.warnings.push(
      `Validation failed for ValidatingAdmissionPolicy '${policy}' with binding '${binding}': ${message}`,
    )
  if (actions.includes('Audit')) scope.context.log.info({ policy, binding, message }, 'a write fails a policy')
  if (!actions.includes('Deny')) return
  const { kind, info } = scope
  const what = `${kind.plural}${kind.group === '' ? '' : `.${kind.group}`} "${info.name}"`
  const said = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${message}`
  const text = `${what} is forbidden: ${said}`
  throw new ApiError(CODES[reason] ?? 422, reason, text, { name: info.name, group: kind.group, kind: kind.plural })
}
