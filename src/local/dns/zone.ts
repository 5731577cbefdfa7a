/**
 * What the cluster's DNS knows: names under cluster.local from Services and EndpointSlices, names under
 * clusterset.local from ServiceImports (MCS specification 1.0.0). A view over the shared caches, nothing stored; the
 * wire is server.ts.
 */
import type { EndpointSlice, Namespace, Service, ServiceImport, SliceEndpoint } from '../../kube/kinds.ts'
import { CLUSTERSET_DOMAIN, LABELS } from '../../model/names.ts'
import type { ReadCache } from '../cluster/cache.ts'

export const CLUSTER_DOMAIN = 'cluster.local'

export interface ZoneSources {
  readonly namespaces: ReadCache<Namespace>
  readonly services: ReadCache<Service>
  readonly endpointSlices: ReadCache<EndpointSlice>
  readonly serviceImports: ReadCache<ServiceImport>
  /** False while the CRD is there and its objects are not listed yet. */
  importsKnown(): boolean
}

export type Type = 'A' | 'SRV' | 'TXT' | 'CNAME'

export type RecordData =
  | { readonly type: 'A'; readonly name: string; readonly data: string }
  | { readonly type: 'CNAME'; readonly name: string; readonly data: string }
  | { readonly type: 'TXT'; readonly name: string; readonly data: string; readonly ttl: number }
  | { readonly type: 'SRV'; readonly name: string; readonly data: SrvData }

export interface SrvData {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly target: string
}

/** `records` of the asked type may be empty (NODATA); `additional` saves the client a question. */
export type ZoneAnswer =
  | { readonly kind: 'records'; readonly records: readonly RecordData[]; readonly additional: readonly RecordData[] }
  | { readonly kind: 'nxdomain' | 'refused' | 'unsynced' }

const NXDOMAIN: ZoneAnswer = { kind: 'nxdomain' }
const NODATA: ZoneAnswer = { kind: 'records', records: [], additional: [] }
const DNS_VERSION_TTL_S = 28_800

/** `name` lower case without the final dot; `type` as dns-packet names it. */
export function resolve(name: string, type: string, sources: ZoneSources): ZoneAnswer {
  const { services, endpointSlices, namespaces } = sources
  const place = locate(name)
  if (place === undefined) return { kind: 'refused' }
  const known = services.synced && endpointSlices.synced && namespaces.synced
  if (!known || (place.zone === CLUSTERSET_DOMAIN && !sources.importsKnown())) return { kind: 'unsynced' }
  return lookUp(name, type, { ...place, sources })
}

interface Place {
  readonly zone: string
  readonly labels: readonly string[]
}

function lookUp(name: string, type: string, place: Place & { sources: ZoneSources }): ZoneAnswer {
  const { labels, sources } = place
  if (labels.length === 0) return NODATA
  if (labels.length === 1 && labels[0] === 'dns-version') return dnsVersion(name, place.zone, type)
  if (labels.at(-1) === 'pod' && place.zone === CLUSTER_DOMAIN) return podName(name, labels, { type, sources })
  if (labels.at(-1) !== 'svc') return NXDOMAIN
  const [service, namespace] = [labels.at(-3), labels.at(-2)]
  if (namespace === undefined) return NODATA
  if (sources.namespaces.get(undefined, namespace) === undefined) return NXDOMAIN
  if (service === undefined) return NODATA
  const found = find(sources, place.zone, { namespace, service })
  if (found === undefined) return NXDOMAIN
  return answerService({ asked: name, prefix: labels.slice(0, -3), type, found })
}

/** Zone and labels before it; the short forms `svc.ns` and `svc.ns.svc` are cluster.local without search domains. */
function locate(name: string): Place | undefined {
  for (const zone of [CLUSTER_DOMAIN, CLUSTERSET_DOMAIN]) {
    if (name === zone) return { zone, labels: [] }
    if (name.endsWith(`.${zone}`)) return { zone, labels: name.slice(0, -zone.length - 1).split('.') }
  }
  const labels = name.split('.')
  if (labels.at(-1) === 'svc' && labels.length >= 3) return { zone: CLUSTER_DOMAIN, labels }
  return labels.length === 2 ? { zone: CLUSTER_DOMAIN, labels: [...labels, 'svc'] } : undefined
}

function dnsVersion(name: string, zone: string, type: string): ZoneAnswer {
  if (type !== 'TXT') return NODATA
  const data = zone === CLUSTERSET_DOMAIN ? '1.0.0' : '1.1.0'
  return { kind: 'records', records: [{ type: 'TXT', name, data, ttl: DNS_VERSION_TTL_S }], additional: [] }
}

function podName(name: string, labels: readonly string[], query: { type: string; sources: ZoneSources }): ZoneAnswer {
  const [address = '', namespace = ''] = labels
  const ip = address.replaceAll('-', '.')
  const known = labels.length === 3 && query.sources.namespaces.get(undefined, namespace) !== undefined
  if (!known || !/^127(\.[0-9]{1,3}){3}$/.test(ip)) return NXDOMAIN
  return query.type === 'A' ? records([{ type: 'A', name, data: ip }]) : NODATA
}

/** A service of either zone, in the shape that both answer from. */
interface Found {
  readonly fullName: string
  readonly externalName: string | undefined
  /** Addresses of its own; undefined: headless. */
  readonly ips: readonly string[] | undefined
  readonly ports: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[]
  readonly endpoints: readonly FoundEndpoint[]
}

interface FoundEndpoint {
  readonly address: string
  /** One label, or `<hostname>.<cluster>` under clusterset.local. */
  readonly label: string
  readonly ports: EndpointSlice['ports']
}

function find(sources: ZoneSources, zone: string, target: { namespace: string; service: string }): Found | undefined {
  const { namespace, service: name } = target
  const fullName = `${name}.${namespace}.svc.${zone}`
  if (zone === CLUSTERSET_DOMAIN) {
    const found = sources.serviceImports.get(namespace, name)
    if (found === undefined) return undefined
    const headless = found.spec.type === 'Headless'
    const slices = labelled(sources, namespace, LABELS.mcsServiceName, name)
    const endpoints = headless ? slices.flatMap((slice) => readyEndpoints(slice, clusterOf(slice))) : []
    const ips = headless ? undefined : (found.spec.ips ?? [])
    return { fullName, externalName: undefined, ips, ports: found.spec.ports ?? [], endpoints }
  }
  const found = sources.services.get(namespace, name)
  if (found === undefined) return undefined
  const headless = found.spec.clusterIP === 'None'
  const slices = headless ? labelled(sources, namespace, LABELS.sliceServiceName, name) : []
  return {
    fullName,
    externalName: found.spec.type === 'ExternalName' ? found.spec.externalName : undefined,
    ips: headless ? undefined : [found.spec.clusterIP ?? ''].filter((ip) => ip !== ''),
    ports: found.spec.ports ?? [],
    endpoints: slices.flatMap((slice) => readyEndpoints(slice, undefined)),
  }
}

function labelled(sources: ZoneSources, namespace: string, label: string, value: string): EndpointSlice[] {
  return sources.endpointSlices.in(namespace).filter((slice) => slice.metadata.labels?.[label] === value)
}

const clusterOf = (slice: EndpointSlice): string => slice.metadata.labels?.[LABELS.mcsSourceCluster] ?? ''

function readyEndpoints(slice: EndpointSlice, cluster: string | undefined): FoundEndpoint[] {
  const ready = (slice.endpoints ?? []).filter((endpoint) => endpoint.conditions?.ready !== false)
  return ready.flatMap((endpoint) => {
    const address = endpoint.addresses[0]
    if (address === undefined) return []
    const host = hostLabel(endpoint, address)
    return [{ address, label: cluster === undefined ? host : `${host}.${cluster}`, ports: slice.ports ?? null }]
  })
}

/** As CoreDNS: the endpoint's hostname, else its address with dashes. */
function hostLabel(endpoint: SliceEndpoint, address: string): string {
  return endpoint.hostname ?? address.replaceAll('.', '-')
}

interface Query {
  readonly asked: string
  readonly prefix: readonly string[]
  readonly type: string
  readonly found: Found
}

function answerService({ asked, prefix, type, found }: Query): ZoneAnswer {
  if (found.externalName !== undefined) {
    return prefix.length > 0 ? NXDOMAIN : records([{ type: 'CNAME', name: asked, data: found.externalName }])
  }
  const [port = '', protocol = ''] = prefix
  if (prefix.length === 2 && port.startsWith('_') && protocol.startsWith('_')) {
    const wanted = { port: port.slice(1), protocol: protocol.slice(1) }
    return answerSrv(asked, found, { type, wanted })
  }
  if (prefix.length > 0) return answerEndpoint({ asked, prefix, type, found })
  // A headless service without ready endpoints does not exist for now (MCS specification).
  if (found.ips === undefined && found.endpoints.length === 0) return NXDOMAIN
  if (type === 'SRV') return answerSrv(asked, found, { type, wanted: undefined })
  if (type !== 'A') return NODATA
  const ips = found.ips ?? found.endpoints.map((endpoint) => endpoint.address)
  return records([...new Set(ips)].map((data) => ({ type: 'A', name: asked, data })))
}

/** One named endpoint of a headless service, or the empty name above several of them. */
function answerEndpoint({ asked, prefix, type, found }: Query): ZoneAnswer {
  const label = prefix.join('.')
  const matching = found.endpoints.filter((endpoint) => endpoint.label === label)
  if (matching.length > 0) {
    return type === 'A' ? records(matching.map(({ address }) => ({ type: 'A', name: asked, data: address }))) : NODATA
  }
  return found.endpoints.some((endpoint) => endpoint.label.endsWith(`.${label}`)) ? NODATA : NXDOMAIN
}

function answerSrv(
  asked: string,
  found: Found,
  query: { type: string; wanted: { port: string; protocol: string } | undefined },
): ZoneAnswer {
  const { wanted } = query
  const matches = (port: { name?: string; protocol?: string }): boolean =>
    wanted === undefined ||
    ((port.name ?? '') === wanted.port &&
      (port.protocol ?? 'TCP').toLowerCase() === wanted.protocol &&
      wanted.port !== '')
  const ports = found.ports.filter(matches)
  if (ports.length === 0) return wanted === undefined ? NODATA : NXDOMAIN
  if (query.type !== 'SRV') return NODATA
  if (found.ips !== undefined) {
    const srv = ports.map((port) => srvRecord(asked, port.port, found.fullName))
    return {
      kind: 'records',
      records: srv,
      additional: found.ips.map((data) => ({ type: 'A', name: found.fullName, data })),
    }
  }
  const additional: RecordData[] = []
  const srv: RecordData[] = []
  for (const endpoint of found.endpoints) {
    const target = `${endpoint.label}.${found.fullName}`
    const own = (endpoint.ports ?? []).filter(matches)
    // Without `_port._proto` one record per endpoint is the answer (the MCS suite asks so).
    for (const port of wanted === undefined ? own.slice(0, 1) : own) srv.push(srvRecord(asked, port.port ?? 0, target))
    additional.push({ type: 'A', name: target, data: endpoint.address })
  }
  return srv.length === 0 ? NXDOMAIN : { kind: 'records', records: srv, additional }
}

function srvRecord(name: string, port: number, target: string): RecordData {
  return { type: 'SRV', name, data: { priority: 0, weight: 100, port, target } }
}

function records(list: readonly RecordData[]): ZoneAnswer {
  return { kind: 'records', records: list, additional: [] }
}
