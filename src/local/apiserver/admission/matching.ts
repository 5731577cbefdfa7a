/** Whether a webhook is asked about a request, and in which version of the kind: rules, selectors, conditions. */
import type { AdmissionOperation, WebhookRule } from '../../../kube/kinds/admission.ts'
import { CelError } from '../../../kube/cel/expression.ts'
import { celValue } from '../../../kube/cel/value.ts'
import { type Kind, type KindVersion, versionOf } from '../kinds/kind.ts'
import type { ApiObject } from '../object.ts'
import type { Hook } from './hooks.ts'

/** A write as admission sees it, objects in the version of the request. */
export interface Attempt {
  readonly kind: Kind
  readonly version: KindVersion
  readonly operation: AdmissionOperation
  /** Empty for the object itself. */
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly object: ApiObject | undefined
  readonly old: ApiObject | undefined
  readonly namespaceLabels: Readonly<Record<string, string>>
}

/** The version in which the webhook wants to see it; undefined when it is not asked. */
export function matchingVersion({ webhook, namespaces, objects }: Hook, attempt: Attempt): KindVersion | undefined {
  const version = versionFor(webhook.rules ?? [], webhook.matchPolicy ?? 'Equivalent', attempt)
  if (version === undefined) return undefined
  // A selector of namespaces says nothing of what lies in none; a Namespace is selected by its own labels.
  const isNamespace = attempt.kind.group === '' && attempt.kind.plural === 'namespaces'
  const labels = isNamespace ? labelsOf(attempt.object ?? attempt.old) : attempt.namespaceLabels
  if ((attempt.kind.namespaced || isNamespace) && !namespaces(labels)) return undefined
  return objects(labelsOf(attempt.object)) || (attempt.old !== undefined && objects(labelsOf(attempt.old)))
    ? version
    : undefined
}

const labelsOf = (object: ApiObject | undefined): Readonly<Record<string, string>> => object?.metadata.labels ?? {}

/** The request's own version first; `Equivalent` then takes any other served one that a rule names. */
function versionFor(rules: readonly WebhookRule[], policy: string, attempt: Attempt): KindVersion | undefined {
  const names = (version: string): boolean => rules.some((rule) => ruleMatches(rule, attempt, version))
  if (names(attempt.version.version)) return attempt.version
  if (policy === 'Exact') return undefined
  const other = attempt.kind.versions.find(({ version, served }) => served && names(version))
  return other === undefined ? undefined : versionOf(attempt.kind, other.version)
}

function ruleMatches(rule: WebhookRule, { kind, operation, subresource }: Attempt, version: string): boolean {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [], scope = '*' } = rule
  const has = (list: readonly string[], value: string): boolean => list.includes('*') || list.includes(value)
  if (!has(operations, operation) || !has(apiGroups, kind.group) || !has(apiVersions, version)) return false
  if (scope !== '*' && (scope === 'Namespaced') !== kind.namespaced) return false
  return resources.some((resource) => resourceMatches(resource, kind.plural, subresource))
}

/** `pods`, `pods/status`, `pods/*`, `*` (no subresource), `*` + `/status`, `*` + `/*`. */
function resourceMatches(pattern: string, plural: string, subresource: string): boolean {
  const slash = pattern.indexOf('/')
  const resource = slash < 0 ? pattern : pattern.slice(0, slash)
  const part = slash < 0 ? '' : pattern.slice(slash + 1)
  if (resource !== '*' && resource !== plural) return false
  return part === '*' || part === subresource
}

/** The first condition that is false keeps the webhook from being asked; one that cannot be evaluated throws. */
export function conditionsHold({ conditions }: Hook, attempt: Attempt, request: unknown): boolean {
  if (conditions.length === 0) return true
  const variables = {
    object: attempt.object === undefined ? null : celValue(undefined, attempt.object),
    oldObject: attempt.old === undefined ? null : celValue(undefined, attempt.old),
    request: celValue(undefined, request),
  }
  let failure: CelError | undefined
  for (const { name, expression } of conditions) {
    try {
      if (expression.evaluate(variables) !== true) return false
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      failure ??= new CelError(`matchCondition "${name}": ${error.message}`)
    }
  }
  // A false one elsewhere would have settled it, so errors wait for the end, as in the real server.
  if (failure !== undefined) throw failure
  return true
}
