/**
 * What an Envoy tells its peers about itself, as our proxies do (header `isthmus-peer`): its agent puts the text into its
 * environment. Only on connections of the mesh: no application without a sidecar sees it.
 */
import { create } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { HeaderValueOption_HeaderAppendAction as Append } from '#gen/envoy/config/core/v3/base_pb.js'
import { HeaderMutationSchema } from '#gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js'
import { UpstreamCodecSchema } from '#gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js'
import {
  type HttpFilter,
  HttpFilterSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { PEER_ENVIRONMENT, PEER_HEADER } from '../../../model/names.ts'

export function peerFilters(): HttpFilter[] {
  const told = create(HeaderMutationSchema, {
    mutations: {
      requestMutations: [
        {
          action: {
            case: 'append',
            value: {
              header: { key: PEER_HEADER, value: `%ENVIRONMENT(${PEER_ENVIRONMENT})%` },
              appendAction: Append.OVERWRITE_IF_EXISTS_OR_ADD,
            },
          },
        },
      ],
    },
  })
  return [
    filterOf('isthmus.peer', anyPack(HeaderMutationSchema, told)),
    filterOf('envoy.filters.http.upstream_codec', anyPack(UpstreamCodecSchema, create(UpstreamCodecSchema))),
  ]
}

const filterOf = (name: string, value: Any): HttpFilter =>
  create(HttpFilterSchema, { name, configType: { case: 'typedConfig', value } })
