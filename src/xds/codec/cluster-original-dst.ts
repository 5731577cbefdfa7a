/** Clusters whose endpoints are where their clients wanted to go <-> ORIGINAL_DST with its own balancing. */
import {
  type Cluster as ClusterMessage,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { create } from '@bufbuild/protobuf'
import { type MetadataKey, MetadataKeySchema } from '#gen/envoy/type/metadata/v3/metadata_pb.js'
import type { Cluster, OriginalDst } from '../../model/config.ts'
import { require, type Shape, within } from './shape.ts'

export const ORIGINAL_DST_SHAPE: Shape = {
  original_dst_lb_config: { use_http_header: true, http_header_name: true, upstream_port_override: true },
}

/** Envoy's, where a header is to be used and none is named. */
const HEADER = 'x-envoy-original-dst-host'

export function encodeOriginalDst({ header, portOverride, metadata }: OriginalDst): Pick<ClusterMessage, 'lbPolicy'> & {
  lbConfig: {
    case: 'originalDstLbConfig'
    value: {
      useHttpHeader: boolean
      httpHeaderName: string
      upstreamPortOverride?: number
      metadataKey?: MetadataKey
    }
  }
} {
  const value = {
    useHttpHeader: header !== undefined,
    httpHeaderName: header ?? '',
    ...(portOverride !== undefined && { upstreamPortOverride: portOverride }),
    ...(metadata !== undefined && { metadataKey: addressIn(metadata) }),
  }
  return { lbPolicy: LbPolicy.CLUSTER_PROVIDED, lbConfig: { case: 'originalDstLbConfig', value } }
}

const addressIn = (key: string): MetadataKey =>
  create(MetadataKeySchema, { key, path: [{ segment: { case: 'key', value: 'address' } }] })

export const isOriginalDst = ({ clusterDiscoveryType: discovery }: ClusterMessage): boolean =>
  discovery.case === 'type' && discovery.value === DiscoveryType.ORIGINAL_DST

type Found = Pick<Cluster, 'endpoints' | 'lb' | 'originalDst'>

export function decodeOriginalDst(path: string, message: ClusterMessage): Found {
  const { lbPolicy, lbConfig, loadAssignment, lbSubsetConfig, commonLbConfig, healthChecks } = message
  require(within(path, 'lb_policy'), lbPolicy === LbPolicy.CLUSTER_PROVIDED, 'must be CLUSTER_PROVIDED')
  require(within(path, 'load_assignment'), loadAssignment === undefined, 'is not for ORIGINAL_DST')
  require(within(path, 'lb_subset_config'), lbSubsetConfig === undefined, 'is not for ORIGINAL_DST')
  require(within(path, 'common_lb_config'), commonLbConfig === undefined, 'is not for ORIGINAL_DST')
  require(within(path, 'health_checks'), healthChecks.length === 0, 'is not for ORIGINAL_DST')
  const isOwn = lbConfig.case === undefined || lbConfig.case === 'originalDstLbConfig'
  require(within(path, 'lb_policy'), isOwn, 'has the configuration of another policy')
  const config = lbConfig.case === 'originalDstLbConfig' ? lbConfig.value : undefined
  const at = within(path, 'original_dst_lb_config')
  const header = config?.httpHeaderName.toLowerCase() || HEADER
  require(within(at, 'http_header_name'), /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(header), 'is no header name')
  const port = config?.upstreamPortOverride
  require(within(at, 'upstream_port_override'), port === undefined || (port > 0 && port <= 65_535), 'is no port')
  return {
    endpoints: { cluster: message.name, localities: [] },
    // Without endpoints to choose among no policy is asked.
    lb: 'round-robin',
    originalDst: {
      ...(config?.useHttpHeader === true && { header }),
      ...(port !== undefined && { portOverride: port }),
    },
  }
}
