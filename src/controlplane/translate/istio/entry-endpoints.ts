/** The endpoints of a ServiceEntry: those it lists, and the pods and WorkloadEntries that it selects. Pure. */
import { isIP } from 'node:net'
import type { WorkloadEntrySpec } from '../../../kube/kinds/networking.ts'
import type { Endpoint, LocalityEndpoints } from '../../../model/config.ts'
import { formatSpiffeId } from '../../../model/identity.ts'
import type { Locality } from '../../../model/locality.ts'
import { PORTS } from '../../../model/ports.ts'
import { isForbiddenTarget } from '../../../runtime/forbidden.ts'
import type { WorkloadEntryFacts } from '../../observe/facts-networking.ts'
import type { PodFacts, PortFacts, Snapshot } from '../../observe/facts.ts'
import type { EndpointTables, Group } from '../endpoints.ts'
import type { Host } from '../hosts.ts'
import type { EndpointTerms } from './endpoint-terms.ts'
import { hasLabels } from './names.ts'
import type { HostEntry } from './service-entries.ts'

export interface EntryTables extends EndpointTables {
  readonly workloadEntries: ReadonlyMap<string, WorkloadEntryFacts>
}

/** Istio's label of a workload that has a sidecar of its own. */
const TLS_MODE = 'security.istio.io/tlsMode'

interface Found {
  readonly address: string
  readonly port: number
  readonly place: Locality
  readonly weight: number
  readonly labels: Readonly<Record<string, string>>
  readonly workload: string
  readonly hasSidecar: boolean
}

export interface EntryInput {
  readonly host: Host
  readonly entry: HostEntry
  readonly port: PortFacts
  readonly tables: EntryTables
  readonly terms: EndpointTerms | undefined
}

/** One group per endpoint: whoever merges them by place does so for all kinds of hosts. */
export function entryGroups(input: EntryInput): readonly Group[] {
  const { host, tables, terms } = input
  return foundOf(input).flatMap((found) => {
    if (!hasLabels(found.labels, terms?.labels)) return []
    const endpoint = endpointOf(found, host, { cluster: tables.mesh.cluster, dial: terms?.dial ?? 'auto' })
    const labels = terms === undefined || terms.orderLabels.length === 0 ? {} : { labels: found.labels }
    const { place, weight } = found
    return [
      {
        ...place,
        cluster: tables.mesh.cluster,
        ready: weight,
        total: weight,
        healthy: true,
        endpoints: [endpoint],
        ...labels,
      },
    ]
  })
}

/** For clusters that hold their endpoints themselves, since a proxy resolves their names. */
export function namedEndpoints(
  host: Host,
  entry: HostEntry,
  port: PortFacts,
  cluster: string,
): readonly LocalityEndpoints[] {
  const listed = entry.resolution === 'dns-round-robin' ? entry.endpoints.slice(0, 1) : entry.endpoints
  const endpoints = listed.flatMap((spec) => {
    const { address = '' } = spec
    if (address === '' || address.startsWith('unix:') || isForbiddenTarget(address.toLowerCase())) return []
    return [
      {
        address: address.toLowerCase(),
        port: portFor(spec, port),
        health: 'healthy' as const,
        weight: spec.weight ?? 1,
        transport: 'plain' as const,
        workload: { cluster, namespace: host.namespace, workload: host.name },
      },
    ]
  })
  if (endpoints.length === 0) return []
  return [{ locality: { cloud: '', region: '', zone: '' }, priority: 0, weight: 1, endpoints }]
}

function foundOf({ host, entry, port, tables }: EntryInput): readonly Found[] {
  const listed = entry.endpoints.flatMap((spec) => workloadOf(spec, host.name, { port, tables }))
  const { selector } = entry
  if (selector === undefined) return listed
  const isOurs = ({ namespace }: { readonly namespace: string }): boolean => namespace === host.namespace
  const pods = [...tables.pods.values()].filter((pod) => isOurs(pod) && pod.ready && hasLabels(pod.labels, selector))
  const workloads = [...tables.workloadEntries.values()].filter(
    (found) => isOurs(found) && hasLabels(found.spec.labels ?? {}, selector),
  )
  return [
    ...listed,
    ...pods.flatMap((pod) => podOf(pod, { port, tables })),
    ...workloads.flatMap(({ name, spec }) => workloadOf(spec, name, { port, tables })),
  ]
}

interface At {
  readonly port: PortFacts
  readonly tables: EntryTables
}

function podOf(pod: PodFacts, { port, tables }: At): readonly Found[] {
  if (pod.ip === '') return []
  const target = typeof port.targetPort === 'number' ? port.targetPort : (pod.ports[port.name] ?? port.port)
  const place = tables.nodes.get(pod.node) ?? { cloud: '', region: '', zone: '' }
  const hasSidecar = tables.modes.tlsModeOf(pod, target) === 'mtls'
  return [{ address: pod.ip, port: target, place, weight: 1, labels: pod.labels, workload: pod.workload, hasSidecar }]
}

/** Addresses only: a name would need a resolver, which clusters of the mesh's endpoints have none of. */
function workloadOf(spec: WorkloadEntrySpec, name: string, { port, tables }: At): readonly Found[] {
  const { address = '', labels = {}, weight = 1 } = spec
  if (isIP(address) === 0 || isForbiddenTarget(address)) return []
  const hasSidecar = labels[TLS_MODE] === 'istio'
  return [
    {
      address,
      port: portFor(spec, port),
      place: placeOf(spec.locality, tables.nodes),
      weight,
      labels,
      workload: name,
      hasSidecar,
    },
  ]
}

const portFor = (spec: WorkloadEntrySpec, { name, port, targetPort }: PortFacts): number =>
  spec.ports?.[name] ?? (typeof targetPort === 'number' ? targetPort : port)

/** `region/zone/subzone`; the cloud is that of the nodes there, if there are any. */
function placeOf(text: string | undefined, nodes: Snapshot['nodes']): Locality {
  const [region = '', zone = ''] = (text ?? '').split('/')
  const there = region === '' ? undefined : [...nodes.values()].find((node) => node.region === region)
  return { cloud: there?.cloud ?? '', region, zone }
}

function endpointOf(
  { address, port, weight, workload, hasSidecar }: Found,
  { namespace, entry }: Host,
  { cluster, dial }: { readonly cluster: string; readonly dial: EndpointTerms['dial'] },
): Endpoint {
  const isMeshed = dial === 'mtls' || (dial === 'auto' && hasSidecar && entry?.isInternal === true)
  return {
    address,
    port: isMeshed ? PORTS.inboundMesh : port,
    health: 'healthy',
    weight,
    transport: isMeshed ? 'mtls' : 'plain',
    workload: { cluster, namespace, workload },
  }
}

/** Who may answer for it, as far as its workloads say. */
export function entryIdentities(
  { namespace }: Host,
  { endpoints, selector }: HostEntry,
  {
    pods,
    workloadEntries,
    trustDomain,
  }: Pick<EntryTables, 'pods' | 'workloadEntries'> & { readonly trustDomain: string },
): readonly string[] {
  const accounts = new Set(endpoints.flatMap(({ serviceAccount }) => serviceAccount ?? []))
  if (selector !== undefined) {
    for (const pod of pods.values()) {
      if (pod.namespace === namespace && hasLabels(pod.labels, selector)) accounts.add(pod.serviceAccount)
    }
    for (const found of workloadEntries.values()) {
      const { labels = {}, serviceAccount } = found.spec
      if (found.namespace === namespace && serviceAccount !== undefined && hasLabels(labels, selector))
        accounts.add(serviceAccount)
    }
  }
  return [...accounts].sort().map((serviceAccount) => formatSpiffeId({ trustDomain, namespace, serviceAccount }))
}
