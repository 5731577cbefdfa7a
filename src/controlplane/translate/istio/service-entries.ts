/**
 * ServiceEntries, and Services that only name another host, as hosts of the mesh. Of two for one name the older counts,
 * and a Service of the cluster before both: whoever may write a ServiceEntry must not take over a name that is taken.
 */
import type { ServiceEntrySpec, WorkloadEntrySpec } from '../../../kube/kinds/networking.ts'
import { CLUSTERSET_DOMAIN } from '../../../model/names.ts'
import { byAge, type ServiceEntryFacts } from '../../observe/facts-networking.ts'
import type { PortFacts, ServiceFacts } from '../../observe/facts.ts'
import { hostsToAllocate } from '../../virtual-addresses.ts'
import type { Host } from '../hosts.ts'

/** Where the endpoints of a host come from that is not a Service with pods. */
export interface HostEntry {
  /** `none`: where the connection wanted to go. `dns`: every address, `dns-round-robin`: one at a time. */
  readonly resolution: 'none' | 'static' | 'dns' | 'dns-round-robin'
  /** Its endpoints may have sidecars. */
  readonly isInternal: boolean
  readonly endpoints: readonly WorkloadEntrySpec[]
  /** Of pods and WorkloadEntries of its namespace. */
  readonly selector?: Readonly<Record<string, string>>
  /** Names that its certificates may have. */
  readonly names: readonly string[]
}

const RESOLUTIONS = {
  NONE: 'none',
  STATIC: 'static',
  DNS: 'dns',
  DNS_ROUND_ROBIN: 'dns-round-robin',
} as const satisfies Partial<Record<NonNullable<ServiceEntrySpec['resolution']>, HostEntry['resolution']>>

export function entryHosts(
  entries: ReadonlyMap<string, ServiceEntryFacts>,
  taken: ReadonlySet<string>,
): readonly Host[] {
  const hosts = new Map<string, Host>()
  // The older of two keeps a virtual address that both have written down; that lasts a moment only.
  const given = new Set<string>()
  for (const facts of [...entries.values()].sort(byAge)) {
    const own = allocatedOf(facts, given)
    for (const named of facts.spec.hosts) {
      const host = named.toLowerCase()
      // Names of the clusterset are MCS's alone.
      if (taken.has(host) || hosts.has(host) || host.endsWith(`.${CLUSTERSET_DOMAIN}`)) continue
      const found = hostOf(host, facts, own.get(host))
      if (found !== undefined) hosts.set(host, found)
    }
  }
  return [...hosts.values()]
}

/** By host. */
function allocatedOf(facts: ServiceEntryFacts, given: Set<string>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  const hosts = new Set(facts.allocated === undefined ? [] : hostsToAllocate(facts))
  for (const { value, host } of facts.allocated ?? []) {
    if (given.has(value) || !hosts.has(host)) continue
    given.add(value)
    found.set(host, [...(found.get(host) ?? []), value])
  }
  return found
}

/** Undefined: a way of resolution that this mesh does not have. */
function hostOf(
  host: string,
  { namespace, name, spec }: ServiceEntryFacts,
  allocated: readonly string[] = [],
): Host | undefined {
  const {
    resolution: said = 'NONE',
    ports = [],
    endpoints = [],
    workloadSelector,
    exportTo,
    subjectAltNames = [],
  } = spec
  if (said === 'DYNAMIC_DNS') return undefined
  const resolution = RESOLUTIONS[said]
  const byName = resolution === 'dns' || resolution === 'dns-round-robin'
  return {
    namespace,
    name,
    domain: '',
    host,
    ports: ports.map(portOf),
    addresses: allocated.length > 0 ? allocated : (spec.addresses ?? []).flatMap(singleAddress),
    includesLocal: true,
    includesRemote: false,
    ...(exportTo !== undefined && { exportTo }),
    isEntry: true,
    entry: {
      resolution,
      isInternal: spec.location === 'MESH_INTERNAL',
      endpoints: byName && endpoints.length === 0 ? [{ address: host }] : endpoints,
      ...selectorOf(workloadSelector),
      names: subjectAltNames,
    },
  }
}

function selectorOf(selector: ServiceEntrySpec['workloadSelector']): Pick<HostEntry, 'selector'> {
  const { labels = {} } = selector ?? {}
  return Object.keys(labels).length > 0 ? { selector: labels } : {}
}

/** A block of one is an address. */
function singleAddress(text: string): readonly string[] {
  const [address = '', bits] = text.split('/')
  const whole = address.includes(':') ? '128' : '32'
  return bits === undefined || bits === whole ? [address] : []
}

const HTTP2 = new Set(['HTTP2', 'GRPC'])
const HTTP = new Set(['HTTP', 'HTTP_PROXY', 'GRPC-WEB', ...HTTP2])
const TLS = new Set(['HTTPS', 'TLS'])
const BYTES = new Set(['TCP', 'MONGO', 'MYSQL', 'REDIS', ...TLS])

type EntryPort = NonNullable<ServiceEntrySpec['ports']>[number]

function portOf({ number: port, name, protocol = '', targetPort }: EntryPort): PortFacts {
  const said = protocol.toUpperCase()
  return {
    name,
    port,
    ...(targetPort !== undefined && { targetPort }),
    ...(HTTP.has(said) && { protocol: 'http' }),
    ...(BYTES.has(said) && { protocol: 'tcp' }),
    ...(HTTP2.has(said) && { isHttp2: true }),
    ...(TLS.has(said) && { isTls: true }),
  }
}

/** Those whose endpoints are pods of the mesh, as what selects these pods: their sidecars take callers by such names. */
export function entryServices(entries: ReadonlyMap<string, ServiceEntryFacts>): readonly ServiceFacts[] {
  return entryHosts(entries, new Set()).flatMap(({ namespace, host, ports, entry }) => {
    if (entry?.isInternal !== true || entry.selector === undefined) return []
    return [{ namespace, name: host, host, ports, selector: entry.selector, localFailover: false, addresses: [] }]
  })
}
