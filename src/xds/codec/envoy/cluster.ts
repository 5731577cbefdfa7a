/**
 * The transport sockets of a cluster as an Envoy has them: mTLS, one for each cluster behind a tunnel (their handshakes
 * differ), and plaintext or the bridge to it. What leads into the process carries the endpoint's metadata along.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import {
  type Cluster_TransportSocketMatch as SocketMatch,
  Cluster_TransportSocketMatchSchema as SocketMatchSchema,
} from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { type TransportSocket, TransportSocketSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import { InternalUpstreamTransportSchema } from '#gen/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream_pb.js'
import type { EnvoyCluster, UpstreamTls } from '../../../model/config.ts'
import { TRANSPORT_KEY, TUNNEL_METADATA } from '../endpoints.ts'
import { encodeUpstreamTls, rawBuffer } from '../tls.ts'
import { BRIDGE_METADATA, BRIDGE_SOCKET, tunnelSocket } from './internal.ts'

const INTERNAL_UPSTREAM = 'envoy.transport_sockets.internal_upstream'

export function encodeEnvoyMatches(tls: UpstreamTls, { bridged, tunnels }: EnvoyCluster): SocketMatch[] {
  return [
    matchOf('mtls', encodeUpstreamTls(tls)),
    ...tunnels.map(({ cluster, sni, identities }) => {
      const inner = encodeUpstreamTls({ ...tls, sni, identities })
      return matchOf(tunnelSocket(cluster), throughProcess(inner, TUNNEL_METADATA))
    }),
    bridged === true
      ? matchOf(BRIDGE_SOCKET, throughProcess(rawBuffer(), BRIDGE_METADATA))
      : matchOf('plain', rawBuffer()),
  ]
}

const matchOf = (name: string, transportSocket: TransportSocket): SocketMatch =>
  create(SocketMatchSchema, { name, match: { [TRANSPORT_KEY]: name }, transportSocket })

function throughProcess(transportSocket: TransportSocket, metadata: string): TransportSocket {
  const config = create(InternalUpstreamTransportSchema, {
    passthroughMetadata: [{ kind: { kind: { case: 'host', value: {} } }, name: metadata }],
    transportSocket,
  })
  const value = anyPack(InternalUpstreamTransportSchema, config)
  return create(TransportSocketSchema, { name: INTERNAL_UPSTREAM, configType: { case: 'typedConfig', value } })
}
