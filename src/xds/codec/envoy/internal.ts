/** Endpoints inside an Envoy: their addresses, and the names by which a cluster's transport sockets are chosen. */
import { create } from '@bufbuild/protobuf'
import { type Address, AddressSchema } from '#gen/envoy/config/core/v3/address_pb.js'
import type { Endpoint, InternalAddress } from '../../../model/config.ts'

/** Namespace of the metadata that tells the bridge where to. */
export const BRIDGE_METADATA = 'isthmus.bridge'
export const BRIDGE_SOCKET = 'bridge'

export const tunnelSocket = (cluster: string): string => `tunnel:${cluster}`

/** Our proxy knows three transports; Envoy needs one for each inner handshake. */
export function socketNameOf({ transport, internal, tunnel }: Endpoint): string {
  if (internal === undefined) return transport
  return tunnel === undefined ? BRIDGE_SOCKET : tunnelSocket(tunnel.cluster)
}

export function encodeInternal({ listener, id }: InternalAddress): Address {
  return create(AddressSchema, {
    address: {
      case: 'envoyInternalAddress',
      value: { addressNameSpecifier: { case: 'serverListenerName', value: listener }, endpointId: id },
    },
  })
}
