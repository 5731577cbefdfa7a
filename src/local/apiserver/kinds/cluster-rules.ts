/**
 * Ingress, PodDisruptionBudget and PriorityClass: kinds that manifests for real clusters bring along. Local clusters
 * have no ingress controller and serve no evictions, and whoever creates such an object is told so.
 */
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import { child, children, nameOf, numberAt, setDefault, text, type ApiObject, type JsonObject } from '../object.ts'
import { forbidden } from '../status.ts'
import type { KindRules, RuleContext } from './kind.ts'
import { forbiddenField, required, unsupported, wrong } from './pod-validation.ts'

const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix']

function validateIngress(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  const rules = children(spec, 'rules')
  if (rules.length === 0 && spec['defaultBackend'] === undefined)
    return [wrong('spec', 'either `defaultBackend` or `rules` must be specified', spec)]
  const errors =
    spec['defaultBackend'] === undefined ? [] : backendErrors('spec.defaultBackend', child(spec, 'defaultBackend'))
  for (const [index, rule] of rules.entries())
    for (const [at, path] of children(child(rule, 'http'), 'paths').entries())
      errors.push(...pathErrors(`spec.rules[${index}].http.paths[${at}]`, path))
  return errors
}

function pathErrors(at: string, path: JsonObject): FieldError[] {
  const type = text(path, 'pathType')
  const value = text(path, 'path')
  const errors = backendErrors(`${at}.backend`, child(path, 'backend'))
  if (type === '') errors.push(required(`${at}.pathType`, 'pathType must be specified'))
  else if (!PATH_TYPES.includes(type)) errors.push(unsupported(`${at}.pathType`, PATH_TYPES, type))
  else if (type !== 'ImplementationSpecific' && !value.startsWith('/'))
    errors.push(wrong(`${at}.path`, 'must be an absolute path', value))
  return errors
}

function backendErrors(at: string, backend: JsonObject): FieldError[] {
  const service = child(backend, 'service')
  if (backend['resource'] !== undefined) return []
  if (text(service, 'name') === '') return [required(`${at}.service.name`)]
  const port = child(service, 'port')
  const named = [numberAt(port, 'number') ?? 0, text(port, 'name')].filter((part) => part !== 0 && part !== '')
  return named.length === 1 ? [] : [required(`${at}.service.port`, 'port name or number is required')]
}

export const INGRESS_RULES: KindRules = {
  validate: validateIngress,
  stored: (_object, old, { warn }) => {
    if (old === undefined) warn('no ingress controller runs in local clusters: use a Gateway of the mesh')
  },
}

function validateBudget(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  return spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined
    ? [wrong('spec', 'minAvailable and maxUnavailable cannot be both set', spec)]
    : []
}

export const BUDGET_RULES: KindRules = {
  validate: validateBudget,
  stored: (_object, old, { warn }) => {
    if (old === undefined) warn('local clusters evict nobody: a budget has nothing to hold back')
  },
}

/** The two that every cluster has. */
const SYSTEM_CLASSES: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
}
const USER_PRIORITY_MAX = 1_000_000_000

function validateClass(object: ApiObject, old: ApiObject | undefined): FieldError[] {
  const value = numberAt(object, 'value') ?? 0
  const errors: FieldError[] = []
  if (nameOf(object).startsWith('system-') && !Object.hasOwn(SYSTEM_CLASSES, nameOf(object)))
    errors.push(
      forbiddenField('metadata.name', "priority class names with 'system-' prefix are reserved for system use only"),
    )
  if (value > USER_PRIORITY_MAX && !Object.hasOwn(SYSTEM_CLASSES, nameOf(object)))
    errors.push(forbiddenField('value', `maximum allowed value of a user defined priority is ${USER_PRIORITY_MAX}`))
  if (old !== undefined && !isDeepStrictEqual(old['value'], object['value']))
    errors.push(forbiddenField('value', 'may not be changed in an update.'))
  return errors
}

export const PRIORITY_CLASS_RULES: KindRules = {
  defaults: (object) => setDefault(object, 'preemptionPolicy', 'PreemptLowerPriority'),
  validate: validateClass,
}

const CLASSES = 'priorityclasses.scheduling.k8s.io'

/** Priority admission: a pod's class must exist, and its number is written into the pod. */
export function resolvePriority(pod: ApiObject, spec: JsonObject, { store }: RuleContext): void {
  const name = text(spec, 'priorityClassName')
  if (name === '') {
    const fallback = store
      .list(CLASSES)
      .filter((found) => found['globalDefault'] === true)
      .sort((one, other) => (numberAt(one, 'value') ?? 0) - (numberAt(other, 'value') ?? 0))[0]
    if (fallback === undefined) return
    spec['priorityClassName'] = nameOf(fallback)
    spec['priority'] = numberAt(fallback, 'value') ?? 0
    return
  }
  const found = store.get(CLASSES, name)
  const value = found === undefined ? SYSTEM_CLASSES[name] : (numberAt(found, 'value') ?? 0)
  if (value === undefined)
    throw forbidden(
      { group: '', plural: 'pods', kind: 'Pod' },
      nameOf(pod),
      `no PriorityClass with name ${name} was found`,
    )
  spec['priority'] = value
}
