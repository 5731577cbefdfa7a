/** What stands before a generic chain's reader <-> Envoy's network filters. */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { type Filter, FilterSchema } from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import { ConnectionLimitSchema } from '#gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.js'
import { LocalRateLimitSchema } from '#gen/envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit_pb.js'
import { type RBAC, RBACSchema } from '#gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js'
import { SniClusterSchema } from '#gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster_pb.js'
import type { ConnectionRules, NetworkFilter, Permission, Principal, RbacRules } from '../../model/config.ts'
import { decodeDuration, encodeDuration } from './common.ts'
import { BUCKET_SHAPE, decodeBucket, encodeBucket } from './http-filters/fractions.ts'
import { CONNECTION_RBAC_SHAPE, decodeRbac, encodeRbac, MESH_CONNECTION_RBAC_SHAPE } from './rbac.ts'
import { present, refuse, require, type Shape, typeOf, unpackShaped, within } from './shape.ts'

export const NETWORK_RBAC_SHAPE: Shape = {
  stat_prefix: true,
  rules: CONNECTION_RBAC_SHAPE,
  shadow_rules: CONNECTION_RBAC_SHAPE,
}
export const MESH_NETWORK_RBAC_SHAPE: Shape = {
  stat_prefix: true,
  rules: MESH_CONNECTION_RBAC_SHAPE,
  shadow_rules: MESH_CONNECTION_RBAC_SHAPE,
}
export const CONNECTION_LIMIT_SHAPE: Shape = { stat_prefix: true, max_connections: true, delay: true }
export const NETWORK_RATE_LIMIT_SHAPE: Shape = { stat_prefix: true, token_bucket: BUCKET_SHAPE }

export function encodeNetworkFilter(filter: NetworkFilter): Filter {
  switch (filter.kind) {
    case 'rbac': {
      const { statPrefix, rules, shadow } = filter
      const message = create(RBACSchema, {
        statPrefix,
        ...(rules !== undefined && { rules: encodeRbac(rules) }),
        ...(shadow !== undefined && { shadowRules: encodeRbac(shadow) }),
      })
      return filterOf('envoy.filters.network.rbac', anyPack(RBACSchema, message))
    }
    case 'connection-limit': {
      const { statPrefix, connectionsMax, delayMs } = filter
      const message = create(ConnectionLimitSchema, {
        statPrefix,
        maxConnections: BigInt(connectionsMax),
        ...(delayMs !== undefined && { delay: encodeDuration(delayMs) }),
      })
      return filterOf('envoy.filters.network.connection_limit', anyPack(ConnectionLimitSchema, message))
    }
    case 'rate-limit': {
      const message = create(LocalRateLimitSchema, {
        statPrefix: filter.statPrefix,
        tokenBucket: encodeBucket(filter.bucket),
      })
      return filterOf('envoy.filters.network.local_ratelimit', anyPack(LocalRateLimitSchema, message))
    }
    case 'sni-cluster':
      return filterOf('envoy.filters.network.sni_cluster', anyPack(SniClusterSchema, create(SniClusterSchema)))
    default:
      return filter satisfies never
  }
}

const filterOf = (name: string, value: Any): Filter =>
  create(FilterSchema, { name, configType: { case: 'typedConfig', value } })

export function decodeNetworkFilter(path: string, filter: Filter): NetworkFilter {
  const at = within(path, 'typed_config')
  const config = present(at, filter.configType.case === 'typedConfig' ? filter.configType.value : undefined)
  switch (typeOf(config)) {
    case RBACSchema.typeName: {
      const { statPrefix, rules, shadowRules } = unpackShaped(RBACSchema, config, NETWORK_RBAC_SHAPE, at)
      require(within(at, 'stat_prefix'), statPrefix !== '', 'is required')
      return {
        kind: 'rbac',
        statPrefix,
        ...(rules !== undefined && {
          rules: connectionRules(within(at, 'rules'), decodeRbac(within(at, 'rules'), rules)),
        }),
        ...(shadowRules !== undefined && {
          shadow: connectionRules(within(at, 'shadow_rules'), decodeRbac(within(at, 'shadow_rules'), shadowRules)),
        }),
      }
    }
    case ConnectionLimitSchema.typeName:
      return decodeConnectionLimit(at, config)
    case LocalRateLimitSchema.typeName: {
      const { statPrefix, tokenBucket } = unpackShaped(LocalRateLimitSchema, config, NETWORK_RATE_LIMIT_SHAPE, at)
      require(within(at, 'stat_prefix'), statPrefix !== '', 'is required')
      const bucket = decodeBucket(within(at, 'token_bucket'), tokenBucket)
      // As Envoy's own check has it: a finer clock than its timers have.
      require(within(at, 'token_bucket.fill_interval'), bucket.fillMs >= 50, 'must be at least 50 ms')
      return { kind: 'rate-limit', statPrefix, bucket }
    }
    case SniClusterSchema.typeName:
      unpackShaped(SniClusterSchema, config, {}, at)
      return { kind: 'sni-cluster' }
    default:
      return refuse(at, `filter ${config.typeUrl} is not supported`)
  }
}

/** Of a chain of the mesh, whose connections prove who they are. */
export function decodeMeshRules(path: string, { statPrefix, rules, shadowRules }: RBAC): ConnectionRules {
  require(within(path, 'stat_prefix'), statPrefix !== '', 'is required')
  return {
    kind: 'rbac',
    statPrefix,
    ...(rules !== undefined && { rules: decodeRbac(within(path, 'rules'), rules) }),
    ...(shadowRules !== undefined && { shadow: decodeRbac(within(path, 'shadow_rules'), shadowRules) }),
  }
}

function decodeConnectionLimit(path: string, config: Any): NetworkFilter {
  const { statPrefix, maxConnections, delay } = unpackShaped(
    ConnectionLimitSchema,
    config,
    CONNECTION_LIMIT_SHAPE,
    path,
  )
  require(within(path, 'stat_prefix'), statPrefix !== '', 'is required')
  const connectionsMax = Number(present(within(path, 'max_connections'), maxConnections))
  require(within(path, 'max_connections'), connectionsMax >= 1, 'must be at least 1')
  const delayMs = delay && decodeDuration(within(path, 'delay'), delay)
  return { kind: 'connection-limit', statPrefix, connectionsMax, ...(delayMs !== undefined && { delayMs }) }
}

/**
 * A connection has no header and no path: a rule about one would never match, or by `not` always. Whom a certificate of
 * someone else's making names is not told to network filters yet.
 */
function connectionRules(path: string, rules: RbacRules): RbacRules {
  for (const [name, { permissions, principals }] of Object.entries(rules.policies)) {
    const isAboutRequests = [...permissions, ...principals].some(readsRequest)
    require(within(
      path,
      `policies["${name}"]`,
    ), !isAboutRequests, 'asks for headers, paths or certificates, which are not supported here')
  }
  return rules
}

function readsRequest(tree: Permission | Principal): boolean {
  switch (tree.kind) {
    case 'header':
    case 'path':
    case 'peer':
      return true
    case 'and':
    case 'or':
      return tree.of.some(readsRequest)
    case 'not':
      return readsRequest(tree.of)
    default:
      return false
  }
}
