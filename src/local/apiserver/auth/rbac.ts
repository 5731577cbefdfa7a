/**
 * RBAC: may this user do this? Deny by default; rules only ever add. `compileRbac` resolves bindings, roles and
 * aggregation once per change of the stored objects, so that a decision is a walk over the user's own grants. Not
 * checked: escalation by writing roles, which a laptop cluster does not defend against.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  LabelSelector,
  PolicyRule,
  RbacSubject,
  Role,
  RoleBinding,
  RoleRef,
} from '../../../kube/kinds.ts'
import { MASTERS, serviceAccountName, type User } from './user.ts'

export type Attributes =
  | {
      readonly verb: string
      /** Empty for the core group. */
      readonly group: string
      readonly resource: string
      readonly subresource?: string
      /** Absent for list, watch, create and deletecollection. */
      readonly name?: string
      /** Absent for cluster-scoped resources and for lists over all namespaces. */
      readonly namespace?: string
    }
  | { readonly verb: string; readonly path: string }

export interface RbacObjects {
  readonly roles: readonly Role[]
  readonly clusterRoles: readonly ClusterRole[]
  readonly roleBindings: readonly RoleBinding[]
  readonly clusterRoleBindings: readonly ClusterRoleBinding[]
}

interface Grant {
  readonly rules: readonly PolicyRule[]
  /** Completes "RBAC: allowed by …". */
  readonly source: string
}

/** Grants by subject (`u:` user, `g:` group), per namespace; the empty namespace holds the cluster-wide ones. */
export type RbacRules = ReadonlyMap<string, ReadonlyMap<string, readonly Grant[]>>

export interface Decision {
  readonly allowed: boolean
  readonly reason: string
}

export function authorize(user: User, attributes: Attributes, rules: RbacRules): Decision {
  if (user.groups.includes(MASTERS)) return { allowed: true, reason: `member of ${MASTERS}` }
  const namespace = 'path' in attributes ? undefined : attributes.namespace
  for (const grant of grantsOf(user, namespace, rules)) {
    if (grant.rules.some((rule) => covers(rule, attributes))) {
      return { allowed: true, reason: `RBAC: allowed by ${grant.source}` }
    }
  }
  return { allowed: false, reason: '' }
}

/** What SelfSubjectRulesReview answers: every rule that holds for the user in the namespace. */
export function rulesOf(user: User, namespace: string, rules: RbacRules): PolicyRule[] {
  if (user.groups.includes(MASTERS)) {
    return [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ]
  }
  return [...grantsOf(user, namespace, rules)].flatMap((grant) => grant.rules)
}

function* grantsOf(user: User, namespace: string | undefined, rules: RbacRules): Generator<Grant> {
  const scopes = namespace === undefined || namespace === '' ? [''] : ['', namespace]
  const subjects = [`u:${user.username}`, ...user.groups.map((group) => `g:${group}`)]
  for (const scope of scopes) {
    const bySubject = rules.get(scope)
    if (bySubject !== undefined) for (const subject of subjects) yield* bySubject.get(subject) ?? []
  }
}

function covers(rule: PolicyRule, attributes: Attributes): boolean {
  if (!any(rule.verbs, attributes.verb)) return false
  if ('path' in attributes) return (rule.nonResourceURLs ?? []).some((pattern) => coversPath(pattern, attributes.path))
  if (!any(rule.apiGroups, attributes.group)) return false
  if (!(rule.resources ?? []).some((pattern) => coversResource(pattern, attributes))) return false
  const names = rule.resourceNames ?? []
  return names.length === 0 || (attributes.name !== undefined && names.includes(attributes.name))
}

/** A stored list may be null: Go clients write absent slices so. */
const any = (patterns: readonly string[] | null | undefined, value: string): boolean =>
  (patterns ?? []).some((pattern) => pattern === '*' || pattern === value)

function coversPath(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path
}

function coversResource(pattern: string, target: { resource: string; subresource?: string }): boolean {
  if (pattern === '*') return true
  const { resource, subresource = '' } = target
  if (subresource === '') return pattern === resource
  return pattern === `${resource}/${subresource}` || pattern === `*/${subresource}`
}

export function compileRbac(objects: RbacObjects): RbacRules {
  const clusterRoles = new Map(objects.clusterRoles.map((role) => [role.metadata.name ?? '', role]))
  const roles = new Map(objects.roles.map((role) => [`${role.metadata.namespace}/${role.metadata.name}`, role]))
  const compiled = new Map<string, Map<string, Grant[]>>()

  const add = (binding: RoleBinding | ClusterRoleBinding, namespace: string): void => {
    const rules = rulesBehind(binding.roleRef, namespace)
    // A binding to a role that does not exist (yet) grants nothing and is no error.
    if (rules === undefined || rules.length === 0) return
    const bySubject = compiled.get(namespace) ?? new Map<string, Grant[]>()
    compiled.set(namespace, bySubject)
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace)
      if (key === undefined) continue
      const grants = bySubject.get(key) ?? []
      bySubject.set(key, grants)
      grants.push({ rules, source: describe(binding, namespace, subject) })
    }
  }

  const rulesBehind = (ref: RoleRef, namespace: string): readonly PolicyRule[] | undefined => {
    if (ref.kind === 'Role') return roles.get(`${namespace}/${ref.name}`)?.rules ?? undefined
    const role = clusterRoles.get(ref.name)
    return role === undefined ? undefined : aggregatedRules(role, objects.clusterRoles)
  }

  for (const binding of objects.clusterRoleBindings) if (binding.roleRef.kind === 'ClusterRole') add(binding, '')
  for (const binding of objects.roleBindings) {
    const namespace = binding.metadata.namespace ?? ''
    // Without its namespace a RoleBinding would grant cluster-wide.
    if (namespace !== '') add(binding, namespace)
  }
  return compiled
}

/** The rules that a ClusterRole stands for: its own, or with an aggregationRule those of every role it selects. */
export function aggregatedRules(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors
  if (selectors === undefined || selectors.length === 0) return role.rules ?? []
  const seen = new Set<string>()
  const rules: PolicyRule[] = []
  for (const source of resolve(role, all, new Set())) {
    for (const rule of source.rules ?? []) {
      const text = JSON.stringify(rule)
      if (!seen.has(text)) rules.push(rule)
      seen.add(text)
    }
  }
  return rules
}

/** Roles without aggregation reached from `role`; `visited` ends the walk where roles aggregate each other. */
function* resolve(role: ClusterRole, all: readonly ClusterRole[], visited: Set<ClusterRole>): Generator<ClusterRole> {
  if (visited.has(role)) return
  visited.add(role)
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? []
  if (selectors.length === 0) yield role
  for (const candidate of selectors.length === 0 ? [] : all) {
    const labels = candidate.metadata.labels ?? {}
    if (selectors.some((selector) => selects(selector, labels))) yield* resolve(candidate, all, visited)
  }
}

function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  const exact = Object.entries(selector.matchLabels ?? {})
  const expressions = selector.matchExpressions ?? []
  // An empty selector would make every role part of this one.
  if (exact.length === 0 && expressions.length === 0) return false
  if (!exact.every(([key, value]) => labelOf(labels, key) === value)) return false
  return expressions.every(({ key, operator, values = [] }) => {
    const value = labelOf(labels, key)
    if (operator === 'Exists') return value !== undefined
    if (operator === 'DoesNotExist') return value === undefined
    if (operator === 'In') return value !== undefined && values.includes(value)
    return operator === 'NotIn' && (value === undefined || !values.includes(value))
  })
}

const labelOf = (labels: Readonly<Record<string, string>>, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined

function subjectKey(subject: RbacSubject, bindingNamespace: string): string | undefined {
  if (subject.kind === 'User') return `u:${subject.name}`
  if (subject.kind === 'Group') return `g:${subject.name}`
  const namespace = subject.namespace ?? bindingNamespace
  return namespace === '' ? undefined : `u:${serviceAccountName(namespace, subject.name)}`
}

function describe(binding: RoleBinding | ClusterRoleBinding, namespace: string, subject: RbacSubject): string {
  const { name } = binding.metadata
  const what = namespace === '' ? `ClusterRoleBinding "${name}"` : `RoleBinding "${name}/${namespace}"`
  const who =
    subject.kind === 'ServiceAccount' ? `"${subject.name}/${subject.namespace ?? namespace}"` : `"${subject.name}"`
  return `${what} of ${binding.roleRef.kind} "${binding.roleRef.name}" to ${subject.kind} ${who}`
}
