/** DnsName <-> isthmus.dns.v1.Name, a resource of our own: Envoy and gRPC never ask for it. */
import { create } from '@bufbuild/protobuf'
import { isIP } from 'node:net'
import { type Name, NameSchema, Protocol } from '#gen/isthmus/dns/v1/name_pb.js'
import type { DnsEndpoint, DnsName, DnsPort } from '../../model/dns.ts'
import { refuse, require, type Shape } from './shape.ts'

export const NAME_SHAPE: Shape = {
  name: true,
  addresses: true,
  ports: { name: true, port: true, protocol: true },
  endpoints: { endpoints: { label: true, address: true, ports: true } },
}

/** A proxy keeps thousands of names; none of them may be large. */
const ADDRESSES_MAX = 64
const PORTS_MAX = 256
const ENDPOINTS_MAX = 1_000
const PORT_MAX = 65_535
const NAME_CHARACTERS_MAX = 253
/** What can stand in a question, lower case. Underscores are no host's, and names have them. */
const HOST = /^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/
const PROTOCOLS = { tcp: Protocol.TCP, udp: Protocol.UDP } as const satisfies Record<DnsPort['protocol'], Protocol>

export function encodeName({ name, addresses, ports, endpoints }: DnsName): Name {
  return create(NameSchema, {
    name,
    addresses: [...addresses],
    ports: ports.map((port) => ({ ...port, protocol: PROTOCOLS[port.protocol] })),
    ...(endpoints !== undefined && {
      endpoints: { endpoints: endpoints.map((endpoint) => ({ ...endpoint, ports: { ...endpoint.ports } })) },
    }),
  })
}

export function decodeName({ name, addresses, ports, endpoints }: Name): DnsName {
  require('name', isHost(name), 'is no name in lower case')
  require('addresses', addresses.length <= ADDRESSES_MAX, `are more than ${ADDRESSES_MAX}`)
  for (const [index, address] of addresses.entries()) requireAddress(`addresses[${index}]`, address)
  require('ports', ports.length <= PORTS_MAX, `are more than ${PORTS_MAX}`)
  const headless = endpoints?.endpoints
  require('endpoints', (headless?.length ?? 0) <= ENDPOINTS_MAX, `are more than ${ENDPOINTS_MAX}`)
  return {
    name,
    addresses,
    ports: ports.map((port, index): DnsPort => ({
      name: port.name,
      port: portOf(`ports[${index}].port`, port.port),
      protocol: protocolOf(`ports[${index}].protocol`, port.protocol),
    })),
    ...(headless !== undefined && {
      endpoints: headless.map((endpoint, index) => decodeEndpoint(`endpoints.endpoints[${index}]`, endpoint)),
    }),
  }
}

function decodeEndpoint(path: string, { label, address, ports }: DnsEndpoint): DnsEndpoint {
  require(`${path}.label`, isHost(label) && !label.startsWith('*'), 'is no label in lower case')
  requireAddress(`${path}.address`, address)
  require(`${path}.ports`, Object.keys(ports).length <= PORTS_MAX, `are more than ${PORTS_MAX}`)
  for (const [name, port] of Object.entries(ports)) portOf(`${path}.ports["${name}"]`, port)
  return { label, address, ports }
}

const isHost = (name: string): boolean => name.length <= NAME_CHARACTERS_MAX && HOST.test(name)

function requireAddress(path: string, address: string): void {
  // A scope is the asker's own affair and no part of an answer.
  require(path, isIP(address) !== 0 && !address.includes('%'), 'is no IP address')
}

function portOf(path: string, port: number): number {
  require(path, port >= 1 && port <= PORT_MAX, `must be 1 to ${PORT_MAX}`)
  return port
}

function protocolOf(path: string, protocol: Protocol): DnsPort['protocol'] {
  if (protocol === Protocol.TCP) return 'tcp'
  return protocol === Protocol.UDP ? 'udp' : refuse(path, 'must be TCP or UDP')
}
