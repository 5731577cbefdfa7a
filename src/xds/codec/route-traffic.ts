/** Beside the way of a request: copies of it, what balancers hash it by, what rate limits count it as. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  RouteAction_HashPolicy as HashMessage,
  RouteAction_HashPolicySchema,
  RouteAction_RequestMirrorPolicy as MirrorMessage,
  RouteAction_RequestMirrorPolicySchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { HashPolicy, HashSource, MirrorPolicy } from '../../model/config.ts'
import { decodeFraction, encodeFraction, FRACTION_SHAPE } from './http-filters/fractions.ts'
import { RATE_LIMITS_SHAPE } from './descriptors.ts'
import { refuse, require, type Shape, within } from './shape.ts'

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
  include_vh_rate_limits: {},
}
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
