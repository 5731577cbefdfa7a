/**
 * The Gateway API's routes as one scope of callers meets them, with memory: the same objects while the same routes
 * speak. Where any speaks at a port, connections to that port go by the address they were made to, whatever host their
 * requests name (the feature MeshClusterIPMatching); the explicit HTTP proxy, which has no such address, goes by name.
 */
import { isIP } from 'node:net'
import type { GatewayApiFacts, PortFacts } from '../../observe/facts.ts'
import type { Host } from '../hosts.ts'
import { Memo } from '../memo.ts'
import {
  attachedAt,
  type Attached,
  type AttachmentIndex,
  attachmentsOf,
  destinationsOf,
  destinationsOfRoute,
  mayBeParent,
} from './attachments.ts'

export interface Spoken {
  readonly attached: Attached | undefined
  /** Hosts that it leads to. */
  readonly destinations: readonly string[]
  /** Callers with the same word here get the same; empty where nothing speaks. */
  readonly key: string
}

export interface ScopedRoutes {
  at(host: Host, port: PortFacts): Spoken
  /** `address:port` of a host that are known by themselves. */
  placesOf(host: Host, port: number): readonly string[]
}

const NOTHING: Spoken = { attached: undefined, destinations: [], key: '' }
const NO_PLACES: readonly string[] = []
const NO_ROUTES: ScopedRoutes = { at: () => NOTHING, placesOf: () => NO_PLACES }

interface ScopedInput {
  readonly hosts: readonly Host[]
  readonly caller: string
  readonly domain: string
}

export class GatewayRoutes {
  readonly #indexes = new Memo<AttachmentIndex>()
  readonly #spoken = new Memo<Spoken>()

  attachments(facts: GatewayApiFacts, domain: string): AttachmentIndex {
    const { httpRoutes, grpcRoutes, tlsRoutes, tcpRoutes } = facts
    return this.#indexes.get('all', [httpRoutes, grpcRoutes, tlsRoutes, tcpRoutes, domain], () =>
      attachmentsOf(facts, domain),
    )
  }

  /** Hosts that routes for a host may lead anyone to. */
  destinations(index: AttachmentIndex, host: string, domain: string): readonly string[] {
    return (index.get(host) ?? []).flatMap(({ of }) => destinationsOfRoute(of.route, domain))
  }

  scoped(index: AttachmentIndex, { hosts, caller, domain }: ScopedInput): ScopedRoutes {
    if (index.size === 0) return NO_ROUTES
    const at = (host: Host, port: PortFacts): Spoken => {
      const attachments = index.get(host.host)
      const found = attachments && attachedAt(attachments, { host, port, caller })
      if (found === undefined) return NOTHING
      const key = `${found.kind} of ${found.level}`
      return this.#spoken.get(`${host.host}|${port.port}|${key}`, found.routes, () => ({
        attached: found,
        destinations: destinationsOf(found, domain),
        key,
      }))
    }
    const ports = portsOf(hosts, at)
    return ports.size === 0 ? { at, placesOf: () => NO_PLACES } : { at, placesOf: placesAt(hosts, ports) }
  }
}

function portsOf(hosts: readonly Host[], at: ScopedRoutes['at']): ReadonlySet<number> {
  const ports = new Set<number>()
  for (const host of hosts) for (const port of host.ports) if (at(host, port) !== NOTHING) ports.add(port.port)
  return ports
}

/** An address belongs to one host, and no name of another may look like it: no domain may be in a table twice. */
function placesAt(hosts: readonly Host[], ports: ReadonlySet<number>): ScopedRoutes['placesOf'] {
  const owners = new Map<string, string>()
  for (const { host } of hosts) if (isIP(host) !== 0) owners.set(host, host)
  for (const host of hosts) {
    if (!mayBeParent(host)) continue
    for (const address of host.addresses) if (!owners.has(address)) owners.set(address, host.host)
  }
  return ({ host, addresses }, port) => {
    if (!ports.has(port)) return NO_PLACES
    return addresses
      .filter((address) => owners.get(address) === host && isIP(host) === 0)
      .map((address) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`))
  }
}
