/** dynamic_resources of a bootstrap: which server is asked over ADS, in which form of the protocol, and for what. */
import type { Bootstrap_DynamicResources } from '#gen/envoy/config/bootstrap/v3/bootstrap_pb.js'
import {
  type ApiConfigSource,
  ApiConfigSource_ApiType as ApiType,
  ApiVersion,
} from '#gen/envoy/config/core/v3/config_source_pb.js'
import { ADS_SHAPE, requireAds } from '../codec/common.ts'
import { refuse, require, type Shape, within } from '../codec/shape.ts'

export interface Dynamic {
  readonly protocol: 'delta' | 'sotw'
  /** A static one: the server's. */
  readonly cluster: string
  /** `:authority`; empty: the cluster's name. */
  readonly authority: string
  /** Every message says who asks. */
  readonly nodeEachTime: boolean
  readonly wholes: readonly ('cluster' | 'listener')[]
}

export const DYNAMIC_SHAPE: Shape = {
  ads_config: {
    api_type: true,
    transport_api_version: true,
    grpc_services: { envoy_grpc: { cluster_name: true, authority: true } },
    set_node_on_first_message_only: true,
  },
  lds_config: ADS_SHAPE,
  cds_config: ADS_SHAPE,
}

export function decodeDynamic(path: string, message: Bootstrap_DynamicResources): Dynamic | undefined {
  const { adsConfig, ldsConfig, cdsConfig } = message
  if (ldsConfig !== undefined) requireAds(within(path, 'lds_config'), ldsConfig)
  if (cdsConfig !== undefined) requireAds(within(path, 'cds_config'), cdsConfig)
  if (adsConfig === undefined) {
    require(within(path, 'ads_config'), ldsConfig === undefined && cdsConfig === undefined, 'is required')
    return undefined
  }
  return {
    ...decodeServer(within(path, 'ads_config'), adsConfig),
    wholes: [
      ...(cdsConfig === undefined ? [] : (['cluster'] as const)),
      ...(ldsConfig === undefined ? [] : (['listener'] as const)),
    ],
  }
}

function decodeServer(path: string, config: ApiConfigSource): Omit<Dynamic, 'wholes'> {
  const { apiType, transportApiVersion, grpcServices } = config
  const isDelta = apiType === ApiType.DELTA_GRPC
  require(within(path, 'api_type'), isDelta || apiType === ApiType.GRPC, 'must be GRPC or DELTA_GRPC')
  require(within(path, 'transport_api_version'), transportApiVersion === ApiVersion.V3, 'must be V3')
  const at = within(path, 'grpc_services')
  require(at, grpcServices.length === 1, 'must be exactly one')
  const target = grpcServices[0]?.targetSpecifier
  if (target?.case !== 'envoyGrpc') return refuse(`${at}[0].envoy_grpc`, 'is required')
  const { clusterName, authority } = target.value
  require(`${at}[0].envoy_grpc.cluster_name`, clusterName !== '', 'is required')
  const nodeEachTime = !config.setNodeOnFirstMessageOnly
  return { protocol: isDelta ? 'delta' : 'sotw', cluster: clusterName, authority, nodeEachTime }
}
