/** Beside the way of a request: copies of it, what balancers hash it by, what rate limits count it as. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  RateLimit,
  RateLimit_Action as ActionMessage,
  RateLimitSchema,
  RouteAction_HashPolicy as HashMessage,
  RouteAction_HashPolicySchema,
  RouteAction_RequestMirrorPolicy as MirrorMessage,
  RouteAction_RequestMirrorPolicySchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { DescriptorAction, HashPolicy, HashSource, MirrorPolicy } from '../../model/config.ts'
import { decodeFraction, encodeFraction, FRACTION_SHAPE } from './http-filters/fractions.ts'
import { refuse, require, type Shape, within } from './shape.ts'

export const RATE_LIMITS_SHAPE: Shape = {
  actions: {
    request_headers: { header_name: true, descriptor_key: true, skip_if_absent: true },
    remote_address: {},
    generic_key: { descriptor_value: true, descriptor_key: true },
  },
}
export const TRAFFIC_SHAPE: Shape = {
  request_mirror_policies: { cluster: true, runtime_fraction: FRACTION_SHAPE, disable_shadow_host_suffix_append: true },
  hash_policy: {
    header: { header_name: true },
    cookie: { name: true },
    connection_properties: { source_ip: true },
    query_parameter: { name: true },
    terminal: true,
  },
  rate_limits: RATE_LIMITS_SHAPE,
}
/** Envoy's for a generic key that names none. */
const GENERIC_KEY = 'generic_key'
const ALWAYS = { numerator: 100, denominator: 100 } as const

type MirrorInit = MessageInitShape<typeof RouteAction_RequestMirrorPolicySchema>

export function encodeMirror({ cluster, share, keepHost }: MirrorPolicy): MirrorInit {
  return { cluster, runtimeFraction: encodeFraction(share), disableShadowHostSuffixAppend: keepHost === true }
}

export function decodeMirrors(path: string, messages: readonly MirrorMessage[]): MirrorPolicy[] {
  return messages.map((message, index) => {
    const at = `${path}[${index}]`
    require(within(at, 'cluster'), message.cluster !== '', 'is required')
    const { runtimeFraction: fraction } = message
    return {
      cluster: message.cluster,
      share: fraction === undefined ? ALWAYS : decodeFraction(within(at, 'runtime_fraction'), fraction),
      ...(message.disableShadowHostSuffixAppend && { keepHost: true as const }),
    }
  })
}

type HashInit = MessageInitShape<typeof RouteAction_HashPolicySchema>

export function encodeHash(policy: HashPolicy): HashInit {
  return { policySpecifier: hashSpecifier(policy), terminal: policy.terminal === true }
}

function hashSpecifier(policy: HashSource): NonNullable<HashInit['policySpecifier']> {
  switch (policy.kind) {
    case 'header':
      return { case: 'header', value: { headerName: policy.name } }
    case 'cookie':
      return { case: 'cookie', value: { name: policy.name } }
    case 'query':
      return { case: 'queryParameter', value: { name: policy.name } }
    case 'source-ip':
      return { case: 'connectionProperties', value: { sourceIp: true } }
    default:
      return policy satisfies never
  }
}

export function decodeHashes(path: string, messages: readonly HashMessage[]): HashPolicy[] {
  return messages.map((message, index) => ({
    ...hashSource(`${path}[${index}]`, message.policySpecifier),
    ...(message.terminal && { terminal: true as const }),
  }))
}

function hashSource(path: string, specifier: HashMessage['policySpecifier']): HashSource {
  switch (specifier.case) {
    case 'header':
      return {
        kind: 'header',
        name: named(within(path, 'header.header_name'), specifier.value.headerName.toLowerCase()),
      }
    case 'cookie':
      return { kind: 'cookie', name: named(within(path, 'cookie.name'), specifier.value.name) }
    case 'queryParameter':
      return { kind: 'query', name: named(within(path, 'query_parameter.name'), specifier.value.name) }
    case 'connectionProperties':
      require(within(path, 'connection_properties.source_ip'), specifier.value.sourceIp, 'must be true')
      return { kind: 'source-ip' }
    default:
      return refuse(path, 'must be header, cookie, query_parameter or connection_properties')
  }
}

function named(path: string, name: string): string {
  require(path, name !== '', 'is required')
  return name
}

type RateLimitInit = MessageInitShape<typeof RateLimitSchema>

export function encodeDescriptors(descriptors: readonly (readonly DescriptorAction[])[] | undefined): RateLimitInit[] {
  return (descriptors ?? []).map((actions) => ({ actions: actions.map(actionOf) }))
}

function actionOf(action: DescriptorAction): NonNullable<RateLimitInit['actions']>[number] {
  switch (action.kind) {
    case 'header': {
      const { header, key, optional } = action
      const value = { headerName: header, descriptorKey: key, skipIfAbsent: optional === true }
      return { actionSpecifier: { case: 'requestHeaders', value } }
    }
    case 'generic': {
      const value = { descriptorKey: action.key, descriptorValue: action.value }
      return { actionSpecifier: { case: 'genericKey', value } }
    }
    case 'remote-address':
      return { actionSpecifier: { case: 'remoteAddress', value: {} } }
    default:
      return action satisfies never
  }
}

/** Undefined: none, and those of the virtual host count. */
export function decodeDescriptors(path: string, limits: readonly RateLimit[]): DescriptorAction[][] | undefined {
  if (limits.length === 0) return undefined
  return limits.map(({ actions }, index) => {
    require(`${path}[${index}].actions`, actions.length > 0, 'is required')
    return actions.map((action, at) => decodeDescriptor(`${path}[${index}].actions[${at}]`, action.actionSpecifier))
  })
}

function decodeDescriptor(path: string, specifier: ActionMessage['actionSpecifier']): DescriptorAction {
  switch (specifier.case) {
    case 'requestHeaders': {
      const { headerName, descriptorKey, skipIfAbsent } = specifier.value
      return {
        kind: 'header',
        header: named(within(path, 'request_headers.header_name'), headerName.toLowerCase()),
        key: named(within(path, 'request_headers.descriptor_key'), descriptorKey),
        ...(skipIfAbsent && { optional: true as const }),
      }
    }
    case 'genericKey': {
      const { descriptorKey, descriptorValue } = specifier.value
      const value = named(within(path, 'generic_key.descriptor_value'), descriptorValue)
      return { kind: 'generic', key: descriptorKey === '' ? GENERIC_KEY : descriptorKey, value }
    }
    case 'remoteAddress':
      return { kind: 'remote-address' }
    default:
      return refuse(path, 'must be request_headers, generic_key or remote_address')
  }
}
