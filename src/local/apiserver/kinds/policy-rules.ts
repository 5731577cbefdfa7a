/** ValidatingAdmissionPolicy and its binding: defaults, and what cannot be judged here is refused by its path. */
import { CelError, compileExpression } from '../../../kube/cel/expression.ts'
import { POLICY_VARIABLES } from '../admission/policies.ts'
import type { FieldError } from '../crd/structural.ts'
import { child, children, ensureChild, setDefault, text, texts, type ApiObject, type JsonObject } from '../object.ts'
import type { KindRules } from './kind.ts'
import { duplicate, forbiddenField, oneOf, required, unsupported, wrong } from './pod-validation.ts'

const REASONS = ['Unauthorized', 'Forbidden', 'Invalid', 'RequestEntityTooLarge']
const ACTIONS = ['Deny', 'Warn', 'Audit']
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

function defaultMatch(constraints: JsonObject): void {
  setDefault(constraints, 'matchPolicy', 'Equivalent')
  ensureChild(constraints, 'namespaceSelector')
  ensureChild(constraints, 'objectSelector')
  for (const list of ['resourceRules', 'excludeResourceRules'])
    for (const rule of children(constraints, list)) setDefault(rule, 'scope', '*')
}

function defaultPolicy(object: ApiObject): void {
  const spec = ensureChild(object, 'spec')
  setDefault(spec, 'failurePolicy', 'Fail')
  defaultMatch(ensureChild(spec, 'matchConstraints'))
}

function expressionErrors(path: string, source: string): FieldError[] {
  if (source.trim() === '') return [required(path, 'expression is not specified')]
  try {
    compileExpression(source, POLICY_VARIABLES)
    return []
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return [wrong(path, `compilation failed: ${error.message}`, source)]
  }
}

function namedErrors(spec: JsonObject, list: string): FieldError[] {
  const seen = new Set<string>()
  return children(spec, list).flatMap((item, index) => {
    const path = `spec.${list}[${index}]`
    const name = text(item, 'name')
    const errors = expressionErrors(`${path}.expression`, text(item, 'expression'))
    if (list === 'variables' && !NAME.test(name))
      errors.push(wrong(`${path}.name`, 'name is not a valid CEL identifier', name))
    if (seen.has(name)) errors.push(duplicate(`${path}.name`, name))
    seen.add(name)
    return errors
  })
}

function validatePolicy(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  const errors: FieldError[] = []
  for (const field of ['paramKind', 'auditAnnotations'])
    if (spec[field] !== undefined && !(Array.isArray(spec[field]) && spec[field].length === 0))
      errors.push(forbiddenField(`spec.${field}`, 'local clusters do not evaluate this'))
  errors.push(...oneOf('spec.failurePolicy', ['Fail', 'Ignore'], text(spec, 'failurePolicy')))
  const constraints = child(spec, 'matchConstraints')
  if (children(constraints, 'resourceRules').length === 0) errors.push(required('spec.matchConstraints.resourceRules'))
  errors.push(...matchErrors('spec.matchConstraints', constraints))
  errors.push(...namedErrors(spec, 'matchConditions'), ...namedErrors(spec, 'variables'))
  if (children(spec, 'validations').length === 0)
    errors.push(required('spec.validations', 'validations or auditAnnotations must contain at least one item'))
  for (const [index, validation] of children(spec, 'validations').entries()) {
    const path = `spec.validations[${index}]`
    errors.push(...expressionErrors(`${path}.expression`, text(validation, 'expression')))
    if (text(validation, 'messageExpression') !== '')
      errors.push(...expressionErrors(`${path}.messageExpression`, text(validation, 'messageExpression')))
    errors.push(...oneOf(`${path}.reason`, REASONS, text(validation, 'reason')))
  }
  return errors
}

/** Names of single objects are no part of what is matched here. */
function matchErrors(path: string, constraints: JsonObject): FieldError[] {
  return ['resourceRules', 'excludeResourceRules'].flatMap((list) =>
    children(constraints, list).flatMap((rule, index) =>
      texts(rule, 'resourceNames').length === 0
        ? []
        : [forbiddenField(`${path}.${list}[${index}].resourceNames`, 'local clusters do not evaluate this')],
    ),
  )
}

function validateBinding(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  const actions = texts(spec, 'validationActions')
  const errors = matchErrors('spec.matchResources', child(spec, 'matchResources'))
  if (text(spec, 'policyName') === '') errors.push(required('spec.policyName'))
  if (spec['paramRef'] !== undefined)
    errors.push(forbiddenField('spec.paramRef', 'local clusters do not evaluate this'))
  if (actions.length === 0) errors.push(required('spec.validationActions'))
  for (const [index, action] of actions.entries())
    if (!ACTIONS.includes(action)) errors.push(unsupported(`spec.validationActions[${index}]`, ACTIONS, action))
  if (actions.includes('Deny') && actions.includes('Warn'))
    errors.push(
      wrong(
        'spec.validationActions',
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
        actions,
      ),
    )
  return errors
}

export const POLICY_RULES: KindRules = { defaults: defaultPolicy, validate: validatePolicy }
export const POLICY_BINDING_RULES: KindRules = {
  defaults: (object) => {
    const { matchResources } = ensureChild(object, 'spec')
    if (typeof matchResources === 'object' && matchResources !== null) defaultMatch(matchResources as JsonObject)
  },
  validate: validateBinding,
}
