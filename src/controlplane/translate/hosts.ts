/**
 * The names that applications may call: `<service>.<namespace>.svc.cluster.local` for every Service of this cluster,
 * `….svc.clusterset.local` for every import. Says for each where its endpoints come from; changes only with services,
 * exports and imports, never with endpoints.
 */
import { CLUSTERSET_DOMAIN, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { hostOf } from '../../model/sni.ts'
import {
  type DatagramPort,
  type ExportFacts,
  keyOf,
  type NamespaceFacts,
  type PeerFacts,
  type PortFacts,
  type Snapshot,
} from '../observe/facts.ts'
import { entryHosts, type HostEntry } from './istio/service-entries.ts'

export interface Host {
  readonly namespace: string
  readonly name: string
  readonly domain: string
  /** `<service>.<namespace>.svc.<domain>` */
  readonly host: string
  readonly ports: readonly PortFacts[]
  /** Absent: none. */
  readonly datagrams?: readonly DatagramPort[]
  /** What its name resolves to; empty for headless ones. */
  readonly addresses: readonly string[]
  readonly includesLocal: boolean
  readonly includesRemote: boolean
  /** Namespaces that see it: `.` its own, `*` all. Absent: all. */
  readonly exportTo?: readonly string[]
  /** Bytes go to the very pod whose address was dialled. */
  readonly isHeadless?: true
  /** Of a ServiceEntry: its name is all there is. */
  readonly isEntry?: true
  /** Absent: its endpoints are those of its EndpointSlices. */
  readonly entry?: HostEntry
}

type HostTables = Pick<Snapshot, 'mesh' | 'services' | 'exports' | 'imports' | 'networking'>

/** Sorted by host, so that the route tables of two replicas are the same bytes. */
export function listHosts(tables: HostTables): readonly Host[] {
  const hosts: Host[] = []
  for (const [key, service] of tables.services) {
    const isExported = isExportedKey(tables, key)
    hosts.push(
      hostAt(service, tables.mesh.domain, {
        ports: service.ports,
        addresses: service.addresses,
        includesLocal: true,
        // The owner's consent: only a service this cluster itself exports may be answered from elsewhere.
        includesRemote: isExported && service.localFailover,
        ...(service.isHeadless === true && { isHeadless: true }),
        ...(service.datagrams !== undefined && { datagrams: service.datagrams }),
        ...(service.exportTo !== undefined && { exportTo: service.exportTo }),
        ...(service.externalName !== undefined && { entry: namedEntry(service.externalName) }),
      }),
    )
  }
  for (const [key, found] of tables.imports) {
    const includesLocal = isExportedKey(tables, key)
    const { ports, addresses, datagrams } = found
    const named = { ports, addresses, ...(datagrams !== undefined && { datagrams }) }
    hosts.push(hostAt(found, CLUSTERSET_DOMAIN, { ...named, includesLocal, includesRemote: true }))
  }
  const taken = new Set(hosts.map(({ host }) => host))
  hosts.push(...entryHosts(tables.networking.serviceEntries, taken))
  return hosts.filter(({ ports }) => ports.length > 0).sort((a, b) => (a.host < b.host ? -1 : 1))
}

/** A Service that is another name: what its CNAME stands for answers. */
const namedEntry = (address: string): HostEntry => ({
  resolution: 'dns',
  isInternal: false,
  endpoints: [{ address }],
  names: [],
})

function hostAt(
  named: { readonly namespace: string; readonly name: string },
  domain: string,
  rest: Omit<Host, 'namespace' | 'name' | 'domain' | 'host'>,
): Host {
  const { namespace, name } = named
  return { namespace, name, domain, host: hostOf({ service: name, namespace, domain }), ...rest }
}

/** A ServiceExport counts when its Service exists; the mesh's own parts are never exported. */
export function isExportedKey(tables: Pick<Snapshot, 'services' | 'exports'>, key: string): boolean {
  const service = tables.services.get(key)
  // A name for something else has nothing of its own to export.
  if (service === undefined || service.externalName !== undefined) return false
  return tables.exports.has(key) && !key.startsWith(`${SYSTEM_NAMESPACE}/`)
}

/** The peers that may use an exported service, sorted: as its export says, else its namespace, else all. */
export function allowedPeers(
  found: ExportFacts,
  tables: {
    readonly namespaces: ReadonlyMap<string, NamespaceFacts>
    readonly peers: ReadonlyMap<string, PeerFacts>
  },
): readonly PeerFacts[] {
  const exportTo = found.exportTo ?? tables.namespaces.get(found.namespace)?.exportTo
  const peers = [...tables.peers.values()].sort((a, b) => (a.cluster < b.cluster ? -1 : 1))
  return exportTo === undefined ? peers : peers.filter(({ cluster }) => exportTo.includes(cluster))
}

export interface ExportedService {
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly ports: readonly PortFacts[]
  /** Trust domains of the peers it is exported to, sorted. */
  readonly trustDomains: readonly string[]
}

export function listExports(
  tables: Pick<Snapshot, 'services' | 'exports' | 'namespaces' | 'peers'>,
): readonly ExportedService[] {
  const exported: ExportedService[] = []
  for (const [key, found] of tables.exports) {
    const service = tables.services.get(key)
    if (service === undefined || !isExportedKey(tables, key)) continue
    const trustDomains = allowedPeers(found, tables).map(({ trustDomain }) => trustDomain)
    exported.push({
      key: keyOf(found),
      namespace: found.namespace,
      name: found.name,
      ports: service.ports,
      trustDomains,
    })
  }
  return exported.sort((a, b) => (a.key < b.key ? -1 : 1))
}
