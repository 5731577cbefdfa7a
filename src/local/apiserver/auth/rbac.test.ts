import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ClusterRole, PolicyRule, RbacSubject } from '../../../kube/kinds.ts'
import { BUILTIN_CLUSTER_ROLE_BINDINGS, BUILTIN_CLUSTER_ROLES } from './builtin-roles.ts'
import { aggregatedRules, type Attributes, authorize, compileRbac, type RbacObjects, rulesOf } from './rbac.ts'
import { ANONYMOUS, serviceAccountGroups, serviceAccountName, type User } from './user.ts'

const apiVersion = 'rbac.authorization.k8s.io/v1'
const NOTHING: RbacObjects = { roles: [], clusterRoles: [], roleBindings: [], clusterRoleBindings: [] }
const BUILTIN = compileRbac({
  ...NOTHING,
  clusterRoles: BUILTIN_CLUSTER_ROLES,
  clusterRoleBindings: BUILTIN_CLUSTER_ROLE_BINDINGS,
})
const sa = (namespace: string, name: string): User => ({
  username: serviceAccountName(namespace, name),
  groups: serviceAccountGroups(namespace),
})
const jane: User = { username: 'jane', groups: ['developers', 'system:authenticated'] }

const clusterRole = (name: string, rules: PolicyRule[], labels = {}): ClusterRole => ({
  apiVersion,
  kind: 'ClusterRole',
  metadata: { name, labels },
  rules,
})
const ref = (kind: 'Role' | 'ClusterRole', name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind, name })
const toJane: RbacSubject[] = [{ kind: 'User', name: 'jane' }]

/** Everything that `rules`, bound cluster-wide to jane, decide. */
const granted = (rules: PolicyRule[]) =>
  compileRbac({
    ...NOTHING,
    clusterRoles: [clusterRole('r', rules)],
    clusterRoleBindings: [
      {
        apiVersion,
        kind: 'ClusterRoleBinding',
        metadata: { name: 'b' },
        roleRef: ref('ClusterRole', 'r'),
        subjects: toJane,
      },
    ],
  })

const pods: Attributes = { verb: 'get', group: '', resource: 'pods', namespace: 'shop', name: 'p' }

describe('authorize', () => {
  it('denies by default and always allows system:masters', () => {
    expect(authorize(jane, pods, compileRbac(NOTHING))).toEqual({ allowed: false, reason: '' })
    expect(authorize({ username: 'admin', groups: ['system:masters'] }, pods, compileRbac(NOTHING)).allowed).toBe(true)
    expect(authorize({ username: 'system:masters', groups: [] }, pods, BUILTIN).allowed).toBe(false)
  })

  it.each<[string, PolicyRule, Attributes, boolean]>([
    ['exact', { apiGroups: [''], resources: ['pods'], verbs: ['get'] }, pods, true],
    ['wildcards', { apiGroups: ['*'], resources: ['*'], verbs: ['*'] }, pods, true],
    ['another verb', { apiGroups: [''], resources: ['pods'], verbs: ['list'] }, pods, false],
    ['another group', { apiGroups: ['apps'], resources: ['pods'], verbs: ['get'] }, pods, false],
    ['no group', { resources: ['pods'], verbs: ['get'] }, pods, false],
    ['its name', { apiGroups: [''], resources: ['pods'], verbs: ['get'], resourceNames: ['p'] }, pods, true],
    ['another name', { apiGroups: [''], resources: ['pods'], verbs: ['get'], resourceNames: ['q'] }, pods, false],
    [
      'names do not cover a list',
      { apiGroups: [''], resources: ['pods'], verbs: ['list'], resourceNames: ['p'] },
      { verb: 'list', group: '', resource: 'pods' },
      false,
    ],
    [
      'a resource is not its subresource',
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
      { ...pods, subresource: 'log' },
      false,
    ],
    [
      'the subresource',
      { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
      { ...pods, subresource: 'log' },
      true,
    ],
    [
      'any resource with the subresource',
      { apiGroups: [''], resources: ['*/log'], verbs: ['get'] },
      { ...pods, subresource: 'log' },
      true,
    ],
    ['a subresource is not its resource', { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] }, pods, false],
    ['a path', { nonResourceURLs: ['/metrics'], verbs: ['get'] }, { verb: 'get', path: '/metrics' }, true],
    ['a path prefix', { nonResourceURLs: ['/apis/*'], verbs: ['get'] }, { verb: 'get', path: '/apis/x' }, true],
    [
      'a path beside the prefix',
      { nonResourceURLs: ['/apis/*'], verbs: ['get'] },
      { verb: 'get', path: '/apis' },
      false,
    ],
    [
      'resources do not cover paths',
      { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
      { verb: 'get', path: '/x' },
      false,
    ],
    ['paths do not cover resources', { nonResourceURLs: ['*'], verbs: ['*'] }, pods, false],
  ])('decides %s', (_, rule, attributes, allowed) => {
    expect(authorize(jane, attributes, granted([rule])).allowed).toBe(allowed)
  })

  it('keeps a RoleBinding in its namespace, whatever kind of role it binds', () => {
    const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['*'] }]
    const objects = (kind: 'Role' | 'ClusterRole'): RbacObjects => ({
      ...NOTHING,
      roles: [{ apiVersion, kind: 'Role', metadata: { name: 'r', namespace: 'shop' }, rules }],
      clusterRoles: [clusterRole('r', rules)],
      roleBindings: [
        {
          apiVersion,
          kind: 'RoleBinding',
          metadata: { name: 'b', namespace: 'shop' },
          roleRef: ref(kind, 'r'),
          subjects: toJane,
        },
      ],
    })
    for (const kind of ['Role', 'ClusterRole'] as const) {
      const compiled = compileRbac(objects(kind))
      expect(authorize(jane, pods, compiled)).toEqual({
        allowed: true,
        reason: `RBAC: allowed by RoleBinding "b/shop" of ${kind} "r" to User "jane"`,
      })
      expect(authorize(jane, { ...pods, namespace: 'other' }, compiled).allowed).toBe(false)
      expect(authorize(jane, { verb: 'list', group: '', resource: 'pods' }, compiled).allowed).toBe(false)
    }
  })

  it('grants to groups and ServiceAccounts, and nothing through a missing role', () => {
    const subjects: RbacSubject[] = [
      { kind: 'ServiceAccount', name: 'a' },
      { kind: 'ServiceAccount', name: 'b', namespace: 'other' },
      { kind: 'Group', name: 'developers' },
    ]
    const bound = (name: string) =>
      compileRbac({
        ...NOTHING,
        clusterRoles: [clusterRole('r', [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }])],
        roleBindings: [
          {
            apiVersion,
            kind: 'RoleBinding',
            metadata: { name: 'b', namespace: 'shop' },
            roleRef: ref('ClusterRole', name),
            subjects,
          },
        ],
      })
    for (const user of [sa('shop', 'a'), sa('other', 'b'), jane])
      expect(authorize(user, pods, bound('r')).allowed).toBe(true)
    for (const user of [sa('other', 'a'), sa('shop', 'b')])
      expect(authorize(user, pods, bound('r')).allowed).toBe(false)
    expect(authorize(jane, pods, bound('missing')).allowed).toBe(false)
  })

  it('allows no more than some rule says, for any rules', () => {
    const word = fc.constantFrom('get', 'list', 'pods', 'services', '', 'apps')
    const words = fc.array(word, { maxLength: 3 })
    const rule = fc.record({ verbs: words, apiGroups: words, resources: words, resourceNames: words })
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), word, word, (rules, verb, resource) => {
        const attributes = { verb, group: '', resource, namespace: 'shop', name: 'x' }
        const expected = rules.some(
          (rule) =>
            rule.verbs.includes(verb) &&
            rule.apiGroups.includes('') &&
            rule.resources.includes(resource) &&
            rule.resourceNames.length === 0,
        )
        expect(authorize(jane, attributes, granted(rules)).allowed).toBe(expected)
      }),
    )
  })
})

describe('aggregatedRules', () => {
  it('follows labels through several roles and survives a circle', () => {
    const selecting = (name: string, label: string, labels = {}): ClusterRole => ({
      ...clusterRole(name, [], labels),
      aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [label]: 'true' } }] },
    })
    const leaf = clusterRole('leaf', [{ apiGroups: [''], resources: ['x'], verbs: ['get'] }], {
      one: 'true',
      two: 'true',
    })
    const all = [selecting('a', 'one', { two: 'true' }), selecting('b', 'two', { one: 'true' }), leaf]
    expect(aggregatedRules(all[0] ?? leaf, all)).toEqual(leaf.rules)
  })

  it('gives built-in view, edit and admin growing rights, and new kinds by label', () => {
    const crd = clusterRole('crd', [{ apiGroups: ['x.dev'], resources: ['things'], verbs: ['get'] }], {
      'rbac.authorization.k8s.io/aggregate-to-view': 'true',
    })
    const roles = [...BUILTIN_CLUSTER_ROLES, crd]
    const as = (role: string) =>
      compileRbac({
        ...NOTHING,
        clusterRoles: roles,
        clusterRoleBindings: [
          {
            apiVersion,
            kind: 'ClusterRoleBinding',
            metadata: { name: 'b' },
            roleRef: ref('ClusterRole', role),
            subjects: toJane,
          },
        ],
      })
    const may = (role: string, verb: string, group: string, resource: string) =>
      authorize(jane, { verb, group, resource, namespace: 'shop' }, as(role)).allowed
    expect(['view', 'edit', 'admin'].map((role) => may(role, 'get', 'x.dev', 'things'))).toEqual([true, true, true])
    expect(['view', 'edit', 'admin'].map((role) => may(role, 'get', '', 'secrets'))).toEqual([false, true, true])
    expect(['view', 'edit', 'admin'].map((role) => may(role, 'create', 'apps', 'deployments'))).toEqual([
      false,
      true,
      true,
    ])
    expect(['view', 'edit', 'admin'].map((role) => may(role, 'create', 'rbac.authorization.k8s.io', 'roles'))).toEqual([
      false,
      false,
      true,
    ])
    expect(['view', 'edit', 'admin'].map((role) => may(role, 'create', '', 'namespaces'))).toEqual([
      false,
      false,
      false,
    ])
  })
})

describe('built-in bindings', () => {
  it('let everyone authenticated discover and review themselves, and the anonymous see health only', () => {
    const selfReview: Attributes = { verb: 'create', group: 'authentication.k8s.io', resource: 'selfsubjectreviews' }
    expect(authorize(sa('shop', 'x'), { verb: 'get', path: '/openapi/v3/api/v1' }, BUILTIN).allowed).toBe(true)
    expect(authorize(sa('shop', 'x'), selfReview, BUILTIN).allowed).toBe(true)
    expect(authorize(sa('shop', 'x'), pods, BUILTIN).allowed).toBe(false)
    expect(authorize(ANONYMOUS, { verb: 'get', path: '/readyz' }, BUILTIN).allowed).toBe(true)
    expect(authorize(ANONYMOUS, { verb: 'get', path: '/api' }, BUILTIN).allowed).toBe(false)
    expect(authorize(ANONYMOUS, selfReview, BUILTIN).allowed).toBe(false)
  })

  it('rulesOf lists what holds in the namespace', () => {
    expect(rulesOf(jane, 'shop', BUILTIN)).toContainEqual({
      nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'],
      verbs: ['get'],
    })
    expect(rulesOf({ username: 'root', groups: ['system:masters'] }, 'shop', BUILTIN)[0]).toEqual({
      verbs: ['*'],
      apiGroups: ['*'],
      resources: ['*'],
    })
  })
})
