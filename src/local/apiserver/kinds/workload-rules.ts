/** Deployments and ReplicaSets: defaults, and the selector that must match its template and never changes. */
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import {
  child,
  children,
  ensureChild,
  numberAt,
  setDefault,
  text,
  texts,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { matchesLabels, type LabelRequirement } from '../store/selectors.ts'
import type { KindRules } from './kind.ts'
import { defaultPodSpec } from './pod-defaults.ts'
import { oneOf, required, unsupported, validatePodSpec, wrong } from './pod-validation.ts'

/** `creationTimestamp: null` in templates comes from every Go client and means nothing. */
function defaultWorkload(object: ApiObject): JsonObject {
  const spec = ensureChild(object, 'spec')
  setDefault(spec, 'replicas', 1)
  const template = ensureChild(spec, 'template')
  ensureChild(template, 'metadata')
  const { creationTimestamp: _, ...metadata } = child(template, 'metadata')
  template['metadata'] = metadata
  defaultPodSpec(ensureChild(template, 'spec'))
  return spec
}

/** The rolling update that people get without asking: a quarter more, a quarter less. */
function defaultDeployment(object: ApiObject): void {
  const spec = defaultWorkload(object)
  const strategy = ensureChild(spec, 'strategy')
  setDefault(strategy, 'type', 'RollingUpdate')
  if (strategy['type'] === 'RollingUpdate') {
    const rolling = ensureChild(strategy, 'rollingUpdate')
    setDefault(rolling, 'maxUnavailable', '25%')
    setDefault(rolling, 'maxSurge', '25%')
  }
  setDefault(spec, 'revisionHistoryLimit', 10)
  setDefault(spec, 'progressDeadlineSeconds', 600)
}

function validateWorkload(object: ApiObject, old: ApiObject | undefined): FieldError[] {
  const spec = child(object, 'spec')
  const template = child(spec, 'template')
  const replicas = numberAt(spec, 'replicas') ?? 0
  const errors = [
    ...selectorErrors('spec.selector', spec),
    ...validatePodSpec('spec.template.spec', child(template, 'spec')),
  ]
  if (replicas < 0) errors.push(wrong('spec.replicas', 'must be greater than or equal to 0', replicas))
  if (text(child(template, 'spec'), 'restartPolicy') !== 'Always')
    errors.push(
      unsupported('spec.template.spec.restartPolicy', ['Always'], text(child(template, 'spec'), 'restartPolicy')),
    )
  if (old !== undefined && !isDeepStrictEqual(child(old, 'spec')['selector'], spec['selector']))
    errors.push(wrong('spec.selector', 'field is immutable', spec['selector']))
  return errors
}

/** A selector beside its own template would create pods for ever, none of which it counts. */
function selectorErrors(path: string, spec: JsonObject): FieldError[] {
  const selector = child(spec, 'selector')
  const requirements = requirementsOf(selector)
  if (spec['selector'] === undefined) return [required(path)]
  if (requirements.length === 0) return [wrong(path, 'empty selector is invalid for deployment', selector)]
  const labels = child(child(child(spec, 'template'), 'metadata'), 'labels') as Record<string, string>
  if (matchesLabels(requirements, labels)) return []
  return [wrong('spec.template.metadata.labels', '`selector` does not match template `labels`', labels)]
}

function requirementsOf(selector: JsonObject): LabelRequirement[] {
  const equal = Object.entries(child(selector, 'matchLabels')).map(([key, value]): LabelRequirement => ({
    key,
    operator: 'in',
    values: [String(value)],
  }))
  const operators: Record<string, LabelRequirement['operator']> = {
    In: 'in',
    NotIn: 'notin',
    Exists: 'exists',
    DoesNotExist: '!',
  }
  const sets = children(selector, 'matchExpressions').map((expression): LabelRequirement => ({
    key: text(expression, 'key'),
    operator: operators[text(expression, 'operator')] ?? 'exists',
    values: texts(expression, 'values'),
  }))
  return [...equal, ...sets]
}

function validateDeployment(object: ApiObject, old: ApiObject | undefined): FieldError[] {
  const strategy = child(child(object, 'spec'), 'strategy')
  return [
    ...oneOf('spec.strategy.type', ['Recreate', 'RollingUpdate'], text(strategy, 'type')),
    ...(strategy['type'] === 'Recreate' && strategy['rollingUpdate'] !== undefined
      ? [
          {
            path: 'spec.strategy.rollingUpdate',
            reason: 'FieldValueForbidden' as const,
            detail: "may not be specified when strategy `type` is 'Recreate'",
          },
        ]
      : []),
    ...validateWorkload(object, old),
  ]
}

export const DEPLOYMENT_RULES: KindRules = { defaults: defaultDeployment, validate: validateDeployment }
export const REPLICA_SET_RULES: KindRules = {
  defaults: (object) => void defaultWorkload(object),
  validate: validateWorkload,
}
