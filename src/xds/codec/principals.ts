/**
 * Who may use a chain or a route, as an Envoy RBAC ALLOW rule over the client certificate's URI SAN. A rule without
 * principals is an RBAC without policies, which denies everyone. Not a policy engine: permissions are always `any`.
 */
import { create } from '@bufbuild/protobuf'
import {
  type Principal,
  PrincipalSchema,
  type RBAC,
  RBAC_Action as Action,
  RBACSchema,
} from '#gen/envoy/config/rbac/v3/rbac_pb.js'
import { isSubdomain } from '../../model/identity.ts'
import type { PrincipalRule } from '../../model/config.ts'
import { refuse, require, type Shape, within } from './shape.ts'

export const ALLOW_POLICY = 'allow'

const NAME_SHAPE: Shape = { principal_name: { exact: true, prefix: true } }
export const RULES_SHAPE: Shape = {
  action: true,
  policies: { permissions: { any: true }, principals: { authenticated: NAME_SHAPE } },
}

export function encodeRules(rule: PrincipalRule): RBAC {
  const principals = [
    ...rule.trustDomains.map((domain) => authenticated({ case: 'prefix', value: `spiffe://${domain}/` })),
    ...rule.ids.map((id) => authenticated({ case: 'exact', value: id })),
  ]
  if (principals.length === 0) return create(RBACSchema, { action: Action.ALLOW })
  return create(RBACSchema, {
    action: Action.ALLOW,
    policies: { [ALLOW_POLICY]: { permissions: [{ rule: { case: 'any', value: true } }], principals } },
  })
}

function authenticated(matchPattern: { case: 'prefix' | 'exact'; value: string }): Principal {
  return create(PrincipalSchema, {
    identifier: { case: 'authenticated', value: { principalName: { matchPattern } } },
  })
}

export function decodeRules(path: string, rules: RBAC): PrincipalRule {
  require(within(path, 'action'), rules.action === Action.ALLOW, 'only ALLOW is supported')
  const names = Object.keys(rules.policies)
  if (names.length === 0) return { trustDomains: [], ids: [] }
  const policy = rules.policies[ALLOW_POLICY]
  const at = within(path, `policies["${ALLOW_POLICY}"]`)
  if (names.length > 1 || policy === undefined)
    return refuse(within(path, 'policies'), `only "${ALLOW_POLICY}" is supported`)
  const permission = policy.permissions[0]?.rule
  const permitsAny = policy.permissions.length === 1 && permission?.case === 'any' && permission.value
  require(within(at, 'permissions'), permitsAny, 'only any is supported')
  const trustDomains: string[] = []
  const ids: string[] = []
  for (const [index, principal] of policy.principals.entries()) {
    const pattern = patternOf(`${at}.principals[${index}]`, principal)
    if ('id' in pattern) ids.push(pattern.id)
    else trustDomains.push(pattern.trustDomain)
  }
  return { trustDomains, ids }
}

function patternOf(path: string, principal: Principal): { id: string } | { trustDomain: string } {
  const { identifier } = principal
  if (identifier.case !== 'authenticated') return refuse(path, 'only authenticated is supported')
  const at = within(path, 'authenticated.principal_name')
  const pattern = identifier.value.principalName?.matchPattern
  if (pattern?.case === 'exact') return { id: pattern.value }
  if (pattern?.case !== 'prefix') return refuse(at, 'must be exact or a prefix')
  // A prefix that does not end at the trust domain's slash would admit `spiffe://east.mesh.evil/…` as well.
  const trustDomain = /^spiffe:\/\/([^/]+)\/$/.exec(pattern.value)?.[1]
  return isSubdomain(trustDomain) ? { trustDomain } : refuse(at, 'a prefix must be exactly spiffe://<trust domain>/')
}
