/** What rate limits count a request as <-> the `rate_limits` of virtual host and route. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type RateLimit,
  type RateLimit_Action as ActionMessage,
  RateLimit_Action_MetaData_Source as Source,
  type RateLimitSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { MetadataKey, MetadataKeySchema } from '#gen/envoy/type/metadata/v3/metadata_pb.js'
import type { DescriptorAction, DescriptorRule, MetadataPath } from '../../model/config.ts'
import {
  decodeHeaderMatch,
  decodeQueryMatch,
  encodeHeaderMatch,
  encodeQueryMatch,
  HEADER_SHAPE,
  QUERY_SHAPE,
} from './matchers.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

const KEY_SHAPE: Shape = { key: true, path: { key: true } }
export const RATE_LIMITS_SHAPE: Shape = {
  stage: true,
  actions: {
    destination_cluster: {},
    request_headers: { header_name: true, descriptor_key: true, skip_if_absent: true },
    remote_address: {},
    masked_remote_address: { v4_prefix_mask_len: true, v6_prefix_mask_len: true },
    generic_key: { descriptor_value: true, descriptor_key: true },
    header_value_match: { descriptor_key: true, descriptor_value: true, expect_match: true, headers: HEADER_SHAPE },
    query_parameter_value_match: {
      descriptor_key: true,
      descriptor_value: true,
      expect_match: true,
      query_parameters: QUERY_SHAPE,
    },
    metadata: {
      descriptor_key: true,
      metadata_key: KEY_SHAPE,
      default_value: true,
      skip_if_absent: true,
    },
  },
  limit: { dynamic_metadata: { metadata_key: KEY_SHAPE } },
}
/** Envoy's, for actions that name none. */
const GENERIC_KEY = 'generic_key'
const HEADER_MATCH_KEY = 'header_match'
const QUERY_MATCH_KEY = 'query_match'
const BITS = { v4: 32, v6: 128 } as const
const STAGE_MAX = 10

type RateLimitInit = MessageInitShape<typeof RateLimitSchema>
type ActionInit = NonNullable<RateLimitInit['actions']>[number]
type Specifier = NonNullable<Exclude<ActionInit, ActionMessage>['actionSpecifier']>

export function encodeDescriptors(rules: readonly DescriptorRule[] | undefined): RateLimitInit[] {
  return (rules ?? []).map(encodeRule)
}

function encodeRule({ actions, stage, limit }: DescriptorRule): RateLimitInit {
  return {
    actions: actions.map((action) => ({ actionSpecifier: specifierOf(action) })),
    ...(stage !== undefined && { stage }),
    ...(limit !== undefined && {
      limit: { overrideSpecifier: { case: 'dynamicMetadata', value: { metadataKey: encodeKey(limit) } } },
    }),
  }
}

const encodeKey = ({ namespace, path }: MetadataPath): MessageInitShape<typeof MetadataKeySchema> => ({
  key: namespace,
  path: path.map((value) => ({ segment: { case: 'key', value } })),
})

function specifierOf(action: DescriptorAction): Specifier {
  switch (action.kind) {
    case 'header': {
      const { header, key, optional } = action
      const value = { headerName: header, descriptorKey: key, skipIfAbsent: optional === true }
      return { case: 'requestHeaders', value }
    }
    case 'generic':
      return { case: 'genericKey', value: { descriptorKey: action.key, descriptorValue: action.value } }
    case 'remote-address':
      return { case: 'remoteAddress', value: {} }
    case 'masked-address':
      return { case: 'maskedRemoteAddress', value: { v4PrefixMaskLen: action.bits4, v6PrefixMaskLen: action.bits6 } }
    case 'destination-cluster':
      return { case: 'destinationCluster', value: {} }
    case 'header-match': {
      const { key, value, expect, headers } = action
      const common = { descriptorKey: key, descriptorValue: value, expectMatch: expect }
      return { case: 'headerValueMatch', value: { ...common, headers: headers.map(encodeHeaderMatch) } }
    }
    case 'query-match': {
      const { key, value, expect, query } = action
      const common = { descriptorKey: key, descriptorValue: value, expectMatch: expect }
      return { case: 'queryParameterValueMatch', value: { ...common, queryParameters: query.map(encodeQueryMatch) } }
    }
    case 'metadata': {
      const { key, from, default: defaultValue = '', optional } = action
      const common = { descriptorKey: key, metadataKey: encodeKey(from), defaultValue }
      return { case: 'metadata', value: { ...common, source: Source.DYNAMIC, skipIfAbsent: optional === true } }
    }
    default:
      return action satisfies never
  }
}

/** Undefined: none, and those of the virtual host count. */
export function decodeDescriptors(path: string, limits: readonly RateLimit[]): DescriptorRule[] | undefined {
  if (limits.length === 0) return undefined
  return limits.map(({ actions, stage = 0, limit }, index) => {
    const at = `${path}[${index}]`
    require(within(at, 'actions'), actions.length > 0, 'is required')
    require(within(at, 'stage'), stage <= STAGE_MAX, `is above ${STAGE_MAX}`)
    const from =
      limit?.overrideSpecifier.case === 'dynamicMetadata' ? limit.overrideSpecifier.value.metadataKey : undefined
    return {
      actions: actions.map((action, place) => decodeAction(`${at}.actions[${place}]`, action.actionSpecifier)),
      ...(stage > 0 && { stage }),
      ...(limit !== undefined && { limit: decodeKey(within(at, 'limit.dynamic_metadata.metadata_key'), from) }),
    }
  })
}

function decodeKey(path: string, message: MetadataKey | undefined): MetadataPath {
  const { key, path: segments } = present(path, message)
  require(within(path, 'key'), key !== '', 'is required')
  require(within(path, 'path'), segments.length > 0, 'is required')
  return { namespace: key, path: segments.map(({ segment }) => (segment.case === 'key' ? segment.value : '')) }
}

function decodeAction(path: string, specifier: ActionMessage['actionSpecifier']): DescriptorAction {
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
    case 'destinationCluster':
      return { kind: 'destination-cluster' }
    case 'maskedRemoteAddress': {
      const { v4PrefixMaskLen: bits4 = BITS.v4, v6PrefixMaskLen: bits6 = BITS.v6 } = specifier.value
      require(within(path, 'masked_remote_address'), bits4 <= BITS.v4 &&
        bits6 <= BITS.v6, 'has a mask that is too long')
      return { kind: 'masked-address', bits4, bits6 }
    }
    default:
      return decodeMatch(path, specifier)
  }
}

function decodeMatch(path: string, specifier: ActionMessage['actionSpecifier']): DescriptorAction {
  switch (specifier.case) {
    case 'headerValueMatch': {
      const at = within(path, 'header_value_match')
      const { descriptorKey, descriptorValue, expectMatch = true, headers } = specifier.value
      require(within(at, 'headers'), headers.length > 0, 'is required')
      return {
        kind: 'header-match',
        key: descriptorKey === '' ? HEADER_MATCH_KEY : descriptorKey,
        value: named(within(at, 'descriptor_value'), descriptorValue),
        expect: expectMatch,
        headers: headers.map((header, index) => decodeHeaderMatch(`${at}.headers[${index}]`, header)),
      }
    }
    case 'queryParameterValueMatch': {
      const at = within(path, 'query_parameter_value_match')
      const { descriptorKey, descriptorValue, expectMatch = true, queryParameters: query } = specifier.value
      require(within(at, 'query_parameters'), query.length > 0, 'is required')
      return {
        kind: 'query-match',
        key: descriptorKey === '' ? QUERY_MATCH_KEY : descriptorKey,
        value: named(within(at, 'descriptor_value'), descriptorValue),
        expect: expectMatch,
        query: query.map((one, index) => decodeQueryMatch(`${at}.query_parameters[${index}]`, one)),
      }
    }
    case 'metadata': {
      const at = within(path, 'metadata')
      const { descriptorKey, metadataKey, defaultValue, source, skipIfAbsent } = specifier.value
      require(within(at, 'source'), source === Source.DYNAMIC, 'must be DYNAMIC: routes carry no metadata here')
      return {
        kind: 'metadata',
        key: named(within(at, 'descriptor_key'), descriptorKey),
        from: decodeKey(within(at, 'metadata_key'), metadataKey),
        ...(defaultValue !== '' && { default: defaultValue }),
        ...(skipIfAbsent && { optional: true as const }),
      }
    }
    default:
      return refuse(path, 'is an action that is not supported')
  }
}

function named(path: string, name: string): string {
  require(path, name !== '', 'is required')
  return name
}
