/**
 * What this cluster exports, pure: ServiceExports with their Services, EndpointSlices, Pods and Nodes → one `Export`
 * each, the peers it may reach, and whether it is valid. Conditions are written elsewhere; nothing here talks to anyone.
 */
import type {
  EndpointSlice,
  Namespace,
  Node,
  Pod,
  Service,
  ServiceExport,
  SliceEndpoint,
} from '../../src/kube/kinds.ts'
import { hasSidecar, serviceAccountOf } from '../../src/kube/inject.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { ANNOTATIONS, LABELS } from '../../src/model/names.ts'
import type { ExportedZone, ServicePort } from '../../src/model/service.ts'
import { localities, type LocalityOf } from '../locality/locality.ts'
import { exportKey, SYSTEM_NAMESPACES, type Export, type ExportProperties } from './export.ts'

export interface ClusterObjects {
  readonly serviceExports: readonly ServiceExport[]
  readonly services: readonly Service[]
  readonly slices: readonly EndpointSlice[]
  readonly pods: readonly Pod[]
  readonly nodes: readonly Node[]
  readonly namespaces: readonly Namespace[]
}

export interface LocalExport {
  readonly service: Export
  /** Peers that may import it; `all` when no annotation says otherwise. */
  readonly to: 'all' | readonly string[]
}

export type Validity =
  | { readonly valid: true }
  | {
      readonly valid: false
      readonly reason: 'NoService' | 'InvalidServiceType' | 'SystemNamespace'
      readonly message: string
    }

export interface Collected {
  /** By `namespace/name`. */
  readonly exports: ReadonlyMap<string, LocalExport>
  /** Of every ServiceExport, valid or not. */
  readonly validity: ReadonlyMap<string, Validity>
  /** Sentences for the Ready condition of exports that are valid and still not as meant. */
  readonly remarks: ReadonlyMap<string, string>
}

export function collect(objects: ClusterObjects, trustDomain: string): Collected {
  const services = new Map(objects.services.map((service) => [keyOf(service), service]))
  const pods = new Map(objects.pods.map((pod) => [keyOf(pod), pod]))
  const namespaces = new Map(objects.namespaces.map((each) => [each.metadata.name ?? '', each]))
  const slices = slicesByService(objects.slices)
  const localityOf = localities(objects.nodes)
  const exports = new Map<string, LocalExport>()
  const validity = new Map<string, Validity>()
  const remarks = new Map<string, string>()
  for (const serviceExport of objects.serviceExports) {
    if (serviceExport.metadata.deletionTimestamp !== undefined) continue
    const key = keyOf(serviceExport)
    const service = services.get(key)
    const judged = judge(serviceExport, service)
    validity.set(key, judged)
    if (!judged.valid || service === undefined) continue
    const backends = backendsOf({ slices: slices.get(key) ?? [], pods, localityOf, trustDomain })
    if (backends.bare > 0) {
      remarks.set(key, `${backends.bare} ready endpoints have no sidecar; peers cannot reach them.`)
    }
    exports.set(key, {
      service: exportOf(serviceExport, service, backends),
      to: exportTo(serviceExport, namespaces.get(serviceExport.metadata.namespace ?? '')),
    })
  }
  return { exports, validity, remarks }
}

function judge(serviceExport: ServiceExport, service: Service | undefined): Validity {
  const { name = '', namespace = '' } = serviceExport.metadata
  if (SYSTEM_NAMESPACES.has(namespace)) {
    return { valid: false, reason: 'SystemNamespace', message: `Services of ${namespace} are never exported.` }
  }
  if (service === undefined) {
    return { valid: false, reason: 'NoService', message: `There is no Service ${namespace}/${name} to export.` }
  }
  if (service.spec.type === 'ExternalName') {
    return { valid: false, reason: 'InvalidServiceType', message: 'A Service of type ExternalName cannot be exported.' }
  }
  return { valid: true }
}

function exportOf(serviceExport: ServiceExport, service: Service, backends: Backends): Export {
  const { metadata } = serviceExport
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    createdAt: metadata.creationTimestamp ?? '',
    type: service.spec.clusterIP === 'None' ? 'Headless' : 'ClusterSetIP',
    ports: (service.spec.ports ?? []).map(servicePort),
    identities: backends.identities,
    zones: backends.zones,
    properties: propertiesOf(serviceExport, service),
  }
}

function servicePort(port: NonNullable<Service['spec']['ports']>[number]): ServicePort {
  return {
    name: port.name ?? '',
    port: port.port,
    protocol: port.protocol ?? 'TCP',
    ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
  }
}

function propertiesOf({ spec: exported }: ServiceExport, { spec }: Service): ExportProperties {
  return {
    sessionAffinity: spec.sessionAffinity ?? 'None',
    sessionAffinityTimeoutSeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 0,
    internalTrafficPolicy: spec.internalTrafficPolicy ?? '',
    trafficDistribution: spec.trafficDistribution ?? '',
    labels: exported?.exportedLabels ?? {},
    annotations: exported?.exportedAnnotations ?? {},
  }
}

interface Backends {
  readonly identities: readonly string[]
  readonly zones: readonly ExportedZone[]
  /** Ready, but without a sidecar: no peer can reach them, so they do not count as ready. */
  readonly bare: number
}

/** Counts per zone of what a peer could reach, and who may answer: the ServiceAccounts of the pods behind the Service. */
function backendsOf(input: {
  slices: readonly EndpointSlice[]
  pods: ReadonlyMap<string, Pod>
  localityOf: LocalityOf
  trustDomain: string
}): Backends {
  const zones = new Map<string, { -readonly [K in keyof ExportedZone]: ExportedZone[K] }>()
  const identities = new Set<string>()
  let bare = 0
  const counted = new Set<string>() // dual-stack Services have a slice per family with the same pods
  for (const { endpoint, who } of input.slices.flatMap(endpointsOf)) {
    if (counted.has(who)) continue
    counted.add(who)
    const pod = input.pods.get(who)
    if (pod !== undefined) identities.add(identityOf(pod, input.trustDomain))
    const locality = input.localityOf(endpoint)
    const key = `${locality.cloud}/${locality.region}/${locality.zone}`
    const zone = zones.get(key) ?? { ...locality, ready: 0, total: 0 }
    zone.total += 1
    const reachable = pod !== undefined && hasSidecar(pod)
    if (isReady(endpoint) && reachable) zone.ready += 1
    else if (isReady(endpoint)) bare += 1
    zones.set(key, zone)
  }
  const sorted = [...zones].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, zone]) => zone)
  return { identities: [...identities].sort(), zones: sorted, bare }
}

function endpointsOf(slice: EndpointSlice): { endpoint: SliceEndpoint; who: string }[] {
  return (slice.endpoints ?? []).map((endpoint) => {
    const namespace = endpoint.targetRef?.namespace ?? slice.metadata.namespace ?? ''
    return { endpoint, who: `${namespace}/${endpoint.targetRef?.name ?? endpoint.addresses[0] ?? ''}` }
  })
}

const isReady = ({ conditions }: SliceEndpoint): boolean =>
  conditions?.ready !== false && conditions?.terminating !== true

function identityOf(pod: Pod, trustDomain: string): string {
  const { namespace = '' } = pod.metadata
  return formatSpiffeId({ trustDomain, namespace, serviceAccount: serviceAccountOf(pod.spec) })
}

function slicesByService(slices: readonly EndpointSlice[]): ReadonlyMap<string, readonly EndpointSlice[]> {
  const grouped = new Map<string, EndpointSlice[]>()
  for (const slice of slices) {
    const service = slice.metadata.labels?.[LABELS.sliceServiceName]
    if (service === undefined) continue // ours carry the MCS label only
    const key = exportKey({ namespace: slice.metadata.namespace ?? '', name: service })
    const group = grouped.get(key)
    if (group === undefined) grouped.set(key, [slice])
    else group.push(slice)
  }
  return grouped
}

/** The export's own annotation, else its namespace's, else everyone. */
function exportTo(serviceExport: ServiceExport, namespace: Namespace | undefined): 'all' | readonly string[] {
  const text =
    serviceExport.metadata.annotations?.[ANNOTATIONS.exportTo] ??
    namespace?.metadata.annotations?.[ANNOTATIONS.exportTo]
  if (text === undefined) return 'all'
  return text
    .split(',')
    .map((peer) => peer.trim())
    .filter((peer) => peer !== '')
    .sort()
}

export const mayReach = (local: LocalExport, peer: string): boolean => local.to === 'all' || local.to.includes(peer)

function keyOf(object: { metadata: { name?: string; namespace?: string } }): string {
  return exportKey({ namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' })
}
