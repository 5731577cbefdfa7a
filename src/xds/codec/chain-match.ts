/** ChainMatch of generic listeners <-> envoy.config.listener.v3.FilterChainMatch. */
import { create } from '@bufbuild/protobuf'
import { isIP } from 'node:net'
import { type CidrRange as CidrMessage, CidrRangeSchema } from '#gen/envoy/config/core/v3/address_pb.js'
import {
  type FilterChainMatch,
  FilterChainMatch_ConnectionSourceType as SourceType,
  FilterChainMatchSchema,
} from '#gen/envoy/config/listener/v3/listener_components_pb.js'
import type { ChainMatch, CidrRange } from '../../model/config.ts'
import { refuse, require, type Shape, within } from './shape.ts'

const RANGE_SHAPE: Shape = { address_prefix: true, prefix_len: true }
export const GENERIC_MATCH_SHAPE: Shape = {
  destination_port: true,
  prefix_ranges: RANGE_SHAPE,
  server_names: true,
  transport_protocol: true,
  application_protocols: true,
  source_type: true,
  source_prefix_ranges: RANGE_SHAPE,
  source_ports: true,
}

/** A wildcard is the whole first label and stands for any number of labels. */
const SERVER_NAME = /^(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$/

export function encodeMatch(match: ChainMatch): FilterChainMatch {
  const { destinationPort, destinations, serverNames, transport, sourceType, sources, sourcePorts } = match
  return create(FilterChainMatchSchema, {
    ...(destinationPort !== undefined && { destinationPort }),
    prefixRanges: (destinations ?? []).map(encodeRange),
    serverNames: [...(serverNames ?? [])],
    transportProtocol: transport ?? '',
    applicationProtocols: [...(match.applicationProtocols ?? [])],
    sourceType: sourceType === undefined ? SourceType.ANY : SOURCE_TYPES[sourceType],
    sourcePrefixRanges: (sources ?? []).map(encodeRange),
    sourcePorts: [...(sourcePorts ?? [])],
  })
}

const SOURCE_TYPES = { local: SourceType.SAME_IP_OR_LOOPBACK, external: SourceType.EXTERNAL } as const

const encodeRange = ({ address, bits }: CidrRange): CidrMessage =>
  create(CidrRangeSchema, { addressPrefix: address, prefixLen: bits })

export function decodeMatch(path: string, message: FilterChainMatch): ChainMatch {
  const { destinationPort, applicationProtocols, sourcePorts, sourceType } = message
  const destinations = decodeRanges(within(path, 'prefix_ranges'), message.prefixRanges)
  const sources = decodeRanges(within(path, 'source_prefix_ranges'), message.sourcePrefixRanges)
  const serverNames = decodeNames(within(path, 'server_names'), message.serverNames)
  const transport = decodeTransport(within(path, 'transport_protocol'), message.transportProtocol)
  return {
    ...(destinationPort !== undefined && { destinationPort }),
    ...(destinations.length > 0 && { destinations }),
    ...(serverNames.length > 0 && { serverNames }),
    ...(transport !== undefined && { transport }),
    ...(applicationProtocols.length > 0 && { applicationProtocols }),
    ...(sourceType !== SourceType.ANY && {
      sourceType: sourceType === SourceType.EXTERNAL ? ('external' as const) : ('local' as const),
    }),
    ...(sources.length > 0 && { sources }),
    ...(sourcePorts.length > 0 && { sourcePorts }),
  }
}

function decodeRanges(path: string, ranges: readonly CidrMessage[]): readonly CidrRange[] {
  return ranges.map(({ addressPrefix: address, prefixLen }, index) => {
    const at = `${path}[${index}]`
    const version = isIP(address)
    require(within(at, 'address_prefix'), version !== 0, `${address} is no address`)
    const bits = prefixLen ?? 0
    require(within(at, 'prefix_len'), bits <= (version === 4 ? 32 : 128), 'is longer than the address')
    return { address, bits }
  })
}

/** Envoy wants them in lower case already, and takes `*` for any name. */
function decodeNames(path: string, names: readonly string[]): readonly string[] {
  if (names.includes('*')) return []
  for (const name of names) require(path, SERVER_NAME.test(name), `${name} is no lower-case name or *.suffix`)
  return names
}

function decodeTransport(path: string, name: string): ChainMatch['transport'] {
  if (name === '') return undefined
  return name === 'tls' || name === 'raw_buffer' ? name : refuse(path, 'must be tls or raw_buffer')
}
