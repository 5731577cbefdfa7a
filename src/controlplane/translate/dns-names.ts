/**
 * What the DNS servers of a scope's proxies answer themselves: the services that its callers see, every import, hosts of
 * ServiceEntries that have an address. A memory: a name is the same object while nothing of it changed.
 */
import type { DnsEndpoint, DnsName } from '../../model/dns.ts'
import { CLUSTERSET_DOMAIN } from '../../model/names.ts'
import type { SliceFacts, Snapshot } from '../observe/facts.ts'
import type { Host } from './hosts.ts'
import type { Scope } from './istio/scope.ts'
import { Memo } from './memo.ts'
import type { Tables } from './tables.ts'

/** As many as travel for one name (the codec refuses more); DNS may answer a part of them. */
const ENDPOINTS_MAX = 1_000

export class DnsNames {
  readonly #tables: Tables
  readonly #names = new Memo<DnsName>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  namesFor(snapshot: Snapshot, scope: Scope): ReadonlyMap<string, DnsName> {
    const hosts = this.#tables.hosts(snapshot)
    const slices = this.#tables.slicesByService(snapshot)
    const { cluster, domain } = snapshot.mesh
    const built = this.#tables.list(`names|${scope.key}`, [scope, hosts, slices, cluster, domain], () =>
      // A Sidecar limits what a proxy routes; that a name exists in the clusterset is not its to say (MCS).
      [...scope.hosts.filter((host) => !isImport(host)), ...hosts.filter(isImport)].flatMap((host) => {
        if (!isAnswered(host) || coversZone(host.host, domain)) return []
        const own = isHeadless(host) && host.includesLocal ? (slices.get(`${host.namespace}/${host.name}`) ?? []) : []
        return [this.#names.get(host.host, [host, cluster, ...own], () => nameOf(host, own, cluster))]
      }),
    )
    const kept = this.#tables.list(`names, kept|${scope.key}`, built, () => built)
    return this.#tables.shared(kept)
  }
}

const isImport = ({ domain }: Host): boolean => domain === CLUSTERSET_DOMAIN
const isHeadless = (host: Host): boolean => host.isHeadless === true || (isImport(host) && host.addresses.length === 0)

/** Other names for something else, and hosts without an address, are the resolvers' to find. */
function isAnswered(host: Host): boolean {
  if (host.entry !== undefined && host.isEntry !== true) return false
  if (host.host.startsWith('*') && !host.host.startsWith('*.')) return false
  return host.addresses.length > 0 || isHeadless(host)
}

/**
 * A pattern that meets names of the cluster or of the clusterset: services that no proxy carries live there too, and
 * whoever may write a ServiceEntry must not answer for them.
 */
function coversZone(host: string, domain: string): boolean {
  if (!host.startsWith('*.')) return false
  const suffix = host.slice(1)
  return [domain, CLUSTERSET_DOMAIN].some((zone) => `.${zone}`.endsWith(suffix) || suffix.endsWith(`.${zone}`))
}

function nameOf(host: Host, slices: readonly SliceFacts[], cluster: string): DnsName {
  const { host: name, addresses, ports, datagrams = [], isEntry } = host
  if (isEntry === true) return { name, addresses, ports: [] }
  const all = [
    ...ports.map((port) => ({ name: port.name, port: port.port, protocol: 'tcp' as const })),
    ...datagrams.map((port) => ({ name: port.name, port: port.port, protocol: 'udp' as const })),
  ]
  if (!isHeadless(host)) return { name, addresses, ports: all }
  const suffix = isImport(host) ? `.${cluster}` : ''
  const endpoints = slices.filter(({ imported }) => imported === undefined).flatMap((slice) => readyOf(slice, suffix))
  return { name, addresses: [], ports: all, endpoints: endpoints.slice(0, ENDPOINTS_MAX) }
}

/** As CoreDNS names them: by the endpoint's hostname, else by its address with dashes. */
function readyOf({ endpoints, ports }: SliceFacts, suffix: string): readonly DnsEndpoint[] {
  return endpoints
    .filter(({ state }) => state === 'ready')
    .map(({ hostname, address }) => ({
      label: `${hostname ?? address.replaceAll(/[.:]/g, '-')}${suffix}`,
      address,
      ports,
    }))
}
