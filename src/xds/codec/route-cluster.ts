/**
 * Where a route leads <-> the cluster specifiers of RouteAction: one cluster, the one a header names, or several by
 * weight; and the metadata that picks a subset of its endpoints.
 */
import { create, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf'
import { type Metadata as MetadataMessage, MetadataSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type RouteAction as RouteActionMessage,
  type RouteActionSchema,
  RouteAction_ClusterNotFoundResponseCode as NotFound,
  type WeightedCluster as WeightedMessage,
  type WeightedCluster_ClusterWeight as WeightMessage,
  type WeightedCluster_ClusterWeightSchema,
} from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { ForwardAction, Metadata, WeightedCluster } from '../../model/config.ts'
import { decodeMetadata } from './common.ts'
import { decodeMutations, decodeName, encodeMutations, MUTATIONS_SHAPE } from './header-mutations.ts'
import { decodePerHost, encodePerRoute, said } from './per-route.ts'
import { refuse, require, type Shape, within } from './shape.ts'

const BALANCING_METADATA = 'envoy.lb'

export const METADATA_SHAPE: Shape = { filter_metadata: true }
export const CLUSTER_SPECIFIER_SHAPE: Shape = {
  cluster: true,
  cluster_header: true,
  weighted_clusters: {
    clusters: {
      name: true,
      cluster_header: true,
      weight: true,
      metadata_match: METADATA_SHAPE,
      host_rewrite_literal: true,
      ...MUTATIONS_SHAPE,
      typed_per_filter_config: true,
    },
    header_name: true,
  },
  cluster_not_found_response_code: true,
  metadata_match: METADATA_SHAPE,
}

type ActionInit = Exclude<MessageInitShape<typeof RouteActionSchema>, RouteActionMessage>
type WeightInit = MessageInitShape<typeof WeightedCluster_ClusterWeightSchema>

const STATUSES = new Map<number, 404 | 500 | undefined>([
  [NotFound.SERVICE_UNAVAILABLE, undefined],
  [NotFound.NOT_FOUND, 404],
  [NotFound.INTERNAL_SERVER_ERROR, 500],
])

type Targeting = Pick<ForwardAction, 'cluster' | 'drawHeader' | 'unknownClusterStatus' | 'subset'>

export function encodeTargeting(route: Targeting): ActionInit {
  const { unknownClusterStatus: status, subset } = route
  return {
    clusterSpecifier: specifierOf(route),
    ...(status !== undefined && {
      clusterNotFoundResponseCode: status === 404 ? NotFound.NOT_FOUND : NotFound.INTERNAL_SERVER_ERROR,
    }),
    ...(subset !== undefined && { metadataMatch: encodeSubset(subset) }),
  }
}

function specifierOf({ cluster, drawHeader }: Targeting): NonNullable<ActionInit['clusterSpecifier']> {
  if (typeof cluster === 'string') return { case: 'cluster', value: cluster }
  if ('header' in cluster) return { case: 'clusterHeader', value: cluster.header }
  return {
    case: 'weightedClusters',
    value: {
      clusters: cluster.map(encodeWeight),
      ...(drawHeader !== undefined && { randomValueSpecifier: { case: 'headerName', value: drawHeader } }),
    },
  }
}

function encodeWeight({ name, weight, subset, rewriteHost, headers, filters }: WeightedCluster): WeightInit {
  return {
    ...(typeof name === 'string' ? { name } : { clusterHeader: name.header }),
    weight,
    ...(subset !== undefined && { metadataMatch: encodeSubset(subset) }),
    ...(rewriteHost !== undefined && {
      hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: rewriteHost.host },
    }),
    ...encodeMutations(headers),
    typedPerFilterConfig: encodePerRoute(said(filters)),
  }
}

export const encodeSubset = (subset: Metadata): MetadataMessage =>
  create(MetadataSchema, { filterMetadata: { [BALANCING_METADATA]: subset as JsonObject } })

/** To be spread: no field where it says nothing. Other namespaces mean nothing to a balancer, and are refused. */
export function decodeSubset(path: string, message: MetadataMessage | undefined): { readonly subset?: Metadata } {
  const subset = decodeMetadata(path, message, [BALANCING_METADATA])[BALANCING_METADATA]
  return subset === undefined ? {} : { subset }
}

export function decodeTargeting(path: string, action: RouteActionMessage): Targeting {
  const status = STATUSES.get(action.clusterNotFoundResponseCode)
  require(within(path, 'cluster_not_found_response_code'), STATUSES.has(
    action.clusterNotFoundResponseCode,
  ), 'is unknown')
  return {
    ...decodeClusters(path, action.clusterSpecifier),
    ...(status !== undefined && { unknownClusterStatus: status }),
    ...decodeSubset(within(path, 'metadata_match'), action.metadataMatch),
  }
}

function decodeClusters(
  path: string,
  specifier: RouteActionMessage['clusterSpecifier'],
): Pick<Targeting, 'cluster' | 'drawHeader'> {
  switch (specifier.case) {
    case 'cluster':
      require(within(path, 'cluster'), specifier.value !== '', 'is required')
      return { cluster: specifier.value }
    case 'clusterHeader':
      return { cluster: { header: clusterHeader(within(path, 'cluster_header'), specifier.value) } }
    case 'weightedClusters': {
      const at = within(path, 'weighted_clusters')
      const { randomValueSpecifier: draw } = specifier.value
      return {
        cluster: decodeWeighted(at, specifier.value),
        ...(draw.case === 'headerName' && { drawHeader: decodeName(within(at, 'header_name'), draw.value) }),
      }
    }
    default:
      return refuse(within(path, 'cluster'), 'is required')
  }
}

/** `:authority` and the like may name a cluster, since Envoy reads any header; nothing is written to it. */
function clusterHeader(path: string, text: string): string {
  const name = text.toLowerCase()
  require(path, /^:?[a-z0-9!#$%&'*+\-.^_`|~]+$/.test(name), 'is no header name')
  return name
}

function decodeWeighted(path: string, { clusters }: WeightedMessage): WeightedCluster[] {
  const choices = clusters.map((cluster, index) => decodeWeight(`${path}.clusters[${index}]`, cluster))
  const total = choices.reduce((sum, { weight }) => sum + weight, 0)
  require(path, total > 0 && total <= 0xffff_ffff, 'needs a total weight from 1 to 4294967295')
  return choices
}

function decodeWeight(path: string, message: WeightMessage): WeightedCluster {
  const { name, clusterHeader: header, weight, metadataMatch, hostRewriteSpecifier: rewrite } = message
  require(within(path, 'name'), (name === '') !== (header === ''), 'or cluster_header is required, and not both')
  return {
    name: name === '' ? { header: clusterHeader(within(path, 'cluster_header'), header) } : name,
    weight: weight ?? 0,
    ...decodeSubset(within(path, 'metadata_match'), metadataMatch),
    ...(rewrite.case === 'hostRewriteLiteral' && {
      rewriteHost: { kind: 'literal' as const, host: hostText(within(path, 'host_rewrite_literal'), rewrite.value) },
    }),
    ...decodeMutations(path, message),
    ...decodePerHost(within(path, 'typed_per_filter_config'), message.typedPerFilterConfig),
  }
}

export function hostText(path: string, text: string): string {
  require(path, /^[A-Za-z0-9._~:[\]-]+$/.test(text), 'is no host')
  return text
}
