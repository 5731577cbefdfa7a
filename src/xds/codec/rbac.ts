/**
 * RbacPolicy <-> envoy.config.rbac.v3: the whole tree of permissions and principals. What this proxy cannot tell for
 * certain (forwarded addresses, destination of a captured connection, metadata) is refused, never guessed.
 */
import { create } from '@bufbuild/protobuf'
import { isIP } from 'node:net'
import {
  type Permission as PermissionMessage,
  PermissionSchema,
  type Principal as PrincipalMessage,
  PrincipalSchema,
  type RBAC,
  RBAC_Action as Action,
  RBACSchema,
} from '#gen/envoy/config/rbac/v3/rbac_pb.js'
import type { CidrRange } from '#gen/envoy/config/core/v3/address_pb.js'
import { type PathMatcher, PathMatcherSchema } from '#gen/envoy/type/matcher/v3/path_pb.js'
import type { DestinationLeaf, Permission, Principal, RbacRules, StringMatch } from '../../model/config.ts'
import {
  decodeHeaderMatch,
  decodeString,
  encodeHeaderMatch,
  encodeString,
  HEADER_SHAPE,
  STRING_SHAPE,
} from './matchers.ts'
import { decodeMetadataMatch, encodeMetadataMatch, METADATA_SHAPE } from './metadata-match.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

type OpenShape = Record<string, true | Shape>
const PATH_SHAPE: Shape = { path: STRING_SHAPE }
const CIDR_SHAPE: Shape = { address_prefix: true, prefix_len: true }
const COMMON_PERMISSIONS = { any: true, header: HEADER_SHAPE, url_path: PATH_SHAPE, metadata: METADATA_SHAPE } as const
/** Of requests; what a connection's own policies do not know is not in COMMON_PERMISSIONS. */
const PERMISSION_SHAPE: OpenShape = nesting({
  ...COMMON_PERMISSIONS,
  destination_ip: CIDR_SHAPE,
  destination_port: true,
  destination_port_range: { start: true, end: true },
  requested_server_name: STRING_SHAPE,
})
const CONNECTION_PERMISSION_SHAPE: OpenShape = nesting({ ...COMMON_PERMISSIONS })
/** Connections of the mesh: who came is known, and where to. */
const MESH_CONNECTION_PERMISSION_SHAPE: OpenShape = nesting({
  any: true,
  destination_ip: CIDR_SHAPE,
  destination_port: true,
  destination_port_range: { start: true, end: true },
  requested_server_name: STRING_SHAPE,
})
const MESH_CONNECTION_PRINCIPAL_SHAPE: OpenShape = nestingIds({
  any: true,
  authenticated: { principal_name: STRING_SHAPE },
  source_ip: CIDR_SHAPE,
  direct_remote_ip: CIDR_SHAPE,
  remote_ip: CIDR_SHAPE,
})
const PRINCIPAL_SHAPE: OpenShape = nestingIds({
  any: true,
  header: HEADER_SHAPE,
  url_path: PATH_SHAPE,
  metadata: METADATA_SHAPE,
  authenticated: { principal_name: STRING_SHAPE },
  source_ip: CIDR_SHAPE,
  direct_remote_ip: CIDR_SHAPE,
  remote_ip: CIDR_SHAPE,
})
export const RBAC_SHAPE: Shape = {
  action: true,
  policies: { permissions: PERMISSION_SHAPE, principals: PRINCIPAL_SHAPE },
}
export const CONNECTION_RBAC_SHAPE: Shape = {
  action: true,
  policies: { permissions: CONNECTION_PERMISSION_SHAPE, principals: PRINCIPAL_SHAPE },
}

export const MESH_CONNECTION_RBAC_SHAPE: Shape = {
  action: true,
  policies: { permissions: MESH_CONNECTION_PERMISSION_SHAPE, principals: MESH_CONNECTION_PRINCIPAL_SHAPE },
}

function nestingIds(shape: OpenShape): OpenShape {
  shape['and_ids'] = shape['or_ids'] = { ids: shape }
  shape['not_id'] = shape
  return shape
}

function nesting(shape: OpenShape): OpenShape {
  shape['and_rules'] = shape['or_rules'] = { rules: shape }
  shape['not_rule'] = shape
  return shape
}

const PORT_MAX = 65_535
const ACTIONS: Readonly<Record<RbacRules['action'], Action>> = {
  allow: Action.ALLOW,
  deny: Action.DENY,
  log: Action.LOG,
}
const ACTION_NAMES = new Map(Object.entries(ACTIONS).map(([name, action]) => [action, name as RbacRules['action']]))

export function encodeRbac({ action, policies }: RbacRules): RBAC {
  const encoded = Object.entries(policies).map(([name, { permissions, principals }]) => [
    name,
    { permissions: permissions.map(encodePermission), principals: principals.map(encodePrincipal) },
  ])
  return create(RBACSchema, { action: ACTIONS[action], policies: Object.fromEntries(encoded) })
}

export function decodeRbac(path: string, message: RBAC): RbacRules {
  const action = ACTION_NAMES.get(message.action)
  if (action === undefined) return refuse(within(path, 'action'), 'is unknown')
  const policies = Object.entries(message.policies).map(([name, policy]) => {
    const at = within(path, `policies["${name}"]`)
    require(within(path, 'policies'), name !== '', 'has a policy without name')
    require(within(at, 'permissions'), policy.permissions.length > 0, 'is required')
    require(within(at, 'principals'), policy.principals.length > 0, 'is required')
    const permissions = policy.permissions.map((one, index) => decodePermission(`${at}.permissions[${index}]`, one))
    const principals = policy.principals.map((one, index) => decodePrincipal(`${at}.principals[${index}]`, one))
    return [name, { permissions, principals }] as const
  })
  return { action, policies: Object.fromEntries(policies) }
}

const pathOf = (path: StringMatch): PathMatcher =>
  create(PathMatcherSchema, { rule: { case: 'path', value: encodeString(path) } })

function encodePermission(tree: Permission): PermissionMessage {
  switch (tree.kind) {
    case 'any':
      return create(PermissionSchema, { rule: { case: 'any', value: true } })
    case 'and':
      return create(PermissionSchema, { rule: { case: 'andRules', value: { rules: tree.of.map(encodePermission) } } })
    case 'or':
      return create(PermissionSchema, { rule: { case: 'orRules', value: { rules: tree.of.map(encodePermission) } } })
    case 'not':
      return create(PermissionSchema, { rule: { case: 'notRule', value: encodePermission(tree.of) } })
    case 'header':
      return create(PermissionSchema, { rule: { case: 'header', value: encodeHeaderMatch(tree.header) } })
    case 'path':
      return create(PermissionSchema, { rule: { case: 'urlPath', value: pathOf(tree.path) } })
    case 'metadata':
      return create(PermissionSchema, { rule: { case: 'metadata', value: encodeMetadataMatch(tree.metadata) } })
    default:
      return encodeDestination(tree)
  }
}

function encodeDestination(leaf: DestinationLeaf): PermissionMessage {
  switch (leaf.kind) {
    case 'destination-ip': {
      const value = { addressPrefix: leaf.address, prefixLen: leaf.prefixLength }
      return create(PermissionSchema, { rule: { case: 'destinationIp', value } })
    }
    case 'destination-port': {
      const { from, to } = leaf
      if (to === from + 1) return create(PermissionSchema, { rule: { case: 'destinationPort', value: from } })
      return create(PermissionSchema, { rule: { case: 'destinationPortRange', value: { start: from, end: to } } })
    }
    case 'server-name':
      return create(PermissionSchema, { rule: { case: 'requestedServerName', value: encodeString(leaf.name) } })
    default:
      return leaf satisfies never
  }
}

function decodePermission(path: string, { rule }: PermissionMessage): Permission {
  const all = (field: string, rules: readonly PermissionMessage[]): Permission[] => {
    require(within(path, field), rules.length > 0, 'is empty')
    return rules.map((one, index) => decodePermission(`${within(path, field)}.rules[${index}]`, one))
  }
  switch (rule.case) {
    case 'any':
      require(within(path, 'any'), rule.value, 'must be true')
      return { kind: 'any' }
    case 'andRules':
      return { kind: 'and', of: all('and_rules', rule.value.rules) }
    case 'orRules':
      return { kind: 'or', of: all('or_rules', rule.value.rules) }
    case 'notRule':
      return { kind: 'not', of: decodePermission(within(path, 'not_rule'), rule.value) }
    case 'header':
      return { kind: 'header', header: decodeHeaderMatch(within(path, 'header'), rule.value) }
    case 'urlPath':
      return { kind: 'path', path: decodePath(within(path, 'url_path'), rule.value) }
    case 'metadata':
      return { kind: 'metadata', metadata: decodeMetadataMatch(within(path, 'metadata'), rule.value) }
    default:
      return decodeDestination(path, rule)
  }
}

function decodeDestination(path: string, rule: PermissionMessage['rule']): DestinationLeaf {
  switch (rule.case) {
    case 'destinationIp':
      return { kind: 'destination-ip', ...decodeRange(within(path, 'destination_ip'), rule.value) }
    case 'destinationPort':
      require(within(path, 'destination_port'), rule.value <= PORT_MAX, 'is no port')
      return { kind: 'destination-port', from: rule.value, to: rule.value + 1 }
    case 'destinationPortRange': {
      const { start: from, end: to } = rule.value
      const at = within(path, 'destination_port_range')
      require(at, from >= 0 && from < to && to <= PORT_MAX + 1, 'is no range of ports')
      return { kind: 'destination-port', from, to }
    }
    case 'requestedServerName':
      return { kind: 'server-name', name: decodeString(within(path, 'requested_server_name'), rule.value) }
    default:
      return refuse(path, 'is not supported')
  }
}

function encodePrincipal(tree: Principal): PrincipalMessage {
  switch (tree.kind) {
    case 'any':
      return create(PrincipalSchema, { identifier: { case: 'any', value: true } })
    case 'and':
      return create(PrincipalSchema, { identifier: { case: 'andIds', value: { ids: tree.of.map(encodePrincipal) } } })
    case 'or':
      return create(PrincipalSchema, { identifier: { case: 'orIds', value: { ids: tree.of.map(encodePrincipal) } } })
    case 'not':
      return create(PrincipalSchema, { identifier: { case: 'notId', value: encodePrincipal(tree.of) } })
    case 'header':
      return create(PrincipalSchema, { identifier: { case: 'header', value: encodeHeaderMatch(tree.header) } })
    case 'path':
      return create(PrincipalSchema, { identifier: { case: 'urlPath', value: pathOf(tree.path) } })
    case 'metadata':
      return create(PrincipalSchema, { identifier: { case: 'metadata', value: encodeMetadataMatch(tree.metadata) } })
    case 'peer': {
      const value = tree.name === undefined ? {} : { principalName: encodeString(tree.name) }
      return create(PrincipalSchema, { identifier: { case: 'authenticated', value } })
    }
    case 'source-ip': {
      const value = { addressPrefix: tree.address, prefixLen: tree.prefixLength }
      const kind = tree.forwarded === true ? 'remoteIp' : tree.direct === true ? 'directRemoteIp' : 'sourceIp'
      return create(PrincipalSchema, { identifier: { case: kind, value } })
    }
    default:
      return tree satisfies never
  }
}

function decodePrincipal(path: string, { identifier }: PrincipalMessage): Principal {
  const all = (field: string, ids: readonly PrincipalMessage[]): Principal[] => {
    require(within(path, field), ids.length > 0, 'is empty')
    return ids.map((one, index) => decodePrincipal(`${within(path, field)}.ids[${index}]`, one))
  }
  switch (identifier.case) {
    case 'any':
      require(within(path, 'any'), identifier.value, 'must be true')
      return { kind: 'any' }
    case 'andIds':
      return { kind: 'and', of: all('and_ids', identifier.value.ids) }
    case 'orIds':
      return { kind: 'or', of: all('or_ids', identifier.value.ids) }
    case 'notId':
      return { kind: 'not', of: decodePrincipal(within(path, 'not_id'), identifier.value) }
    case 'header':
      return { kind: 'header', header: decodeHeaderMatch(within(path, 'header'), identifier.value) }
    case 'urlPath':
      return { kind: 'path', path: decodePath(within(path, 'url_path'), identifier.value) }
    case 'metadata':
      return { kind: 'metadata', metadata: decodeMetadataMatch(within(path, 'metadata'), identifier.value) }
    case 'authenticated': {
      const { principalName: name } = identifier.value
      if (name === undefined) return { kind: 'peer' }
      return { kind: 'peer', name: decodeString(within(path, 'authenticated.principal_name'), name) }
    }
    case 'sourceIp':
      return { kind: 'source-ip', ...decodeRange(path, identifier.value) }
    case 'directRemoteIp':
      return { kind: 'source-ip', ...decodeRange(path, identifier.value), direct: true }
    case 'remoteIp':
      return { kind: 'source-ip', ...decodeRange(path, identifier.value), forwarded: true }
    default:
      return refuse(path, 'is not supported')
  }
}

function decodePath(path: string, matcher: PathMatcher): StringMatch {
  return decodeString(within(path, 'path'), matcher.rule.case === 'path' ? matcher.rule.value : undefined)
}

function decodeRange(
  path: string,
  { addressPrefix: address, prefixLen }: CidrRange,
): { address: string; prefixLength: number } {
  const family = isIP(address)
  require(within(path, 'address_prefix'), family !== 0, 'is no address')
  const prefixLength = present(within(path, 'prefix_len'), prefixLen)
  require(within(path, 'prefix_len'), prefixLength <= (family === 6 ? 128 : 32), 'is too long')
  return { address, prefixLength }
}
