/**
 * The Kubernetes objects of an import, pure, in both directions: merged facts → ServiceImport and EndpointSlices, and
 * those objects → what the peers had told us. The second direction is why a restart during a partition loses nothing.
 */
import { createHash } from 'node:crypto'
import type { EndpointSlice, ServiceImport, SlicePort } from '../../src/kube/kinds.ts'
import { ANNOTATIONS, FEDERATION_MANAGER, LABELS } from '../../src/model/names.ts'
import type { ExportedZone, ImportedFacts, ServicePort } from '../../src/model/service.ts'
import { exportKey, readyOf, type ClusterExport, type Export, type ExportProperties } from './export.ts'
import type { MergedService } from './merge.ts'

/** On imported slices: what the peer said besides ports, identities and counts. */
const EXPORT_ANNOTATION = 'isthmus.dev/export'
/** On an import that this cluster exports too: uid and receivers, so that a withdrawal missed while down is still told. */
const OWN_EXPORT_ANNOTATION = 'isthmus.dev/own-export'
const MANAGED_BY = 'app.kubernetes.io/managed-by'
const RESERVED = 'isthmus.dev/'
const ZONE_HASH_CHARS = 10
const MCS_VERSION = 'multicluster.x-k8s.io/v1beta1'

export interface OwnExport {
  readonly uid: string
  readonly to: 'all' | readonly string[]
}

export const isOurs = (object: ServiceImport): boolean => object.metadata.labels?.[MANAGED_BY] === FEDERATION_MANAGER
export const isOurSlice = (slice: EndpointSlice): boolean =>
  slice.metadata.labels?.[LABELS.sliceManagedBy] === FEDERATION_MANAGER

export function serviceImport(
  merged: MergedService,
  ip: string | undefined,
  own: OwnExport | undefined,
): ServiceImport {
  const { properties } = merged
  const timeout = properties.sessionAffinityTimeoutSeconds
  return {
    apiVersion: MCS_VERSION,
    kind: 'ServiceImport',
    metadata: {
      name: merged.name,
      namespace: merged.namespace,
      labels: { ...withoutReserved(properties.labels), [MANAGED_BY]: FEDERATION_MANAGER },
      annotations: {
        ...withoutReserved(properties.annotations),
        ...(own === undefined ? {} : { [OWN_EXPORT_ANNOTATION]: JSON.stringify(own) }),
      },
    },
    spec: {
      type: merged.type,
      ports: merged.ports.map(importPort),
      ...(ip === undefined ? {} : { ips: [ip] }),
      ipFamilies: ['IPv4'], // of the virtual address; backends are reached through gateways whatever their family
      sessionAffinity: properties.sessionAffinity,
      ...(timeout > 0 && properties.sessionAffinity === 'ClientIP'
        ? { sessionAffinityConfig: { clientIP: { timeoutSeconds: timeout } } }
        : {}),
      ...(properties.internalTrafficPolicy === 'Local' || properties.internalTrafficPolicy === 'Cluster'
        ? { internalTrafficPolicy: properties.internalTrafficPolicy }
        : {}),
      ...(properties.trafficDistribution === '' ? {} : { trafficDistribution: properties.trafficDistribution }),
    },
  }
}

/** One slice per zone; a service without endpoints still has one, or a restart would forget it. */
export function importedSlices(service: ClusterExport, owner: ServiceImport): EndpointSlice[] {
  const none: ExportedZone = { cloud: '', region: '', zone: '', ready: 0, total: 0 }
  const zones = service.zones.length === 0 ? [none] : service.zones
  return zones.map((zone) => importedSlice(service, zone, owner))
}

function importedSlice(service: ClusterExport, zone: ExportedZone, owner: ServiceImport): EndpointSlice {
  const facts: ImportedFacts = { ...zone, cluster: service.cluster, identities: service.identities }
  const { uid, createdAt, type, properties } = service
  const ip = owner.spec.ips?.[0]
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `imported-${service.name}-${service.cluster}-${zoneHash(zone)}`,
      namespace: service.namespace,
      labels: {
        [LABELS.mcsServiceName]: service.name,
        [LABELS.mcsSourceCluster]: service.cluster,
        [LABELS.sliceManagedBy]: FEDERATION_MANAGER,
      },
      annotations: {
        [ANNOTATIONS.facts]: JSON.stringify(facts),
        [EXPORT_ANNOTATION]: JSON.stringify({ uid, createdAt, type, properties }),
      },
      ownerReferences: [
        {
          apiVersion: MCS_VERSION,
          kind: 'ServiceImport',
          name: service.name,
          uid: owner.metadata.uid ?? '',
          controller: false,
        },
      ],
    },
    addressType: 'IPv4',
    endpoints:
      ip === undefined
        ? []
        : [
            {
              addresses: [ip],
              conditions: { ready: zone.ready > 0 },
              ...(zone.zone === '' ? {} : { zone: zone.zone }),
            },
          ],
    ports: service.ports.map(importPort),
  }
}

export function zoneHash(zone: { cloud: string; region: string; zone: string }): string {
  return createHash('sha256')
    .update([zone.cloud, zone.region, zone.zone].join('\n'))
    .digest('hex')
    .slice(0, ZONE_HASH_CHARS)
}

function importPort(port: ServicePort): SlicePort & { port: number } {
  return {
    name: port.name,
    protocol: port.protocol as 'TCP' | 'UDP' | 'SCTP',
    port: port.port,
    ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
  }
}

/** A peer's exported labels and annotations may not speak for us. */
function withoutReserved(set: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(set).filter(([key]) => !key.startsWith(RESERVED) && key !== MANAGED_BY))
}

// === back ===

/** Peer → its exports as last written down; slices that are not ours or not readable say nothing. */
export function rebuildViews(slices: readonly EndpointSlice[]): Map<string, Map<string, Export>> {
  const views = new Map<string, Map<string, Export>>()
  for (const slice of slices) {
    if (!isOurSlice(slice)) continue
    const facts = factsOf(slice)
    const said = parseJson(slice.metadata.annotations?.[EXPORT_ANNOTATION]) as SaidExport | undefined
    const name = slice.metadata.labels?.[LABELS.mcsServiceName]
    if (facts === undefined || said === undefined || name === undefined) continue
    const view = views.get(facts.cluster) ?? new Map<string, Export>()
    views.set(facts.cluster, view)
    const namespace = slice.metadata.namespace ?? ''
    const key = exportKey({ namespace, name })
    const zones = [...(view.get(key)?.zones ?? []), ...zoneOf(facts)]
    const ports = (slice.ports ?? []).map(servicePort)
    view.set(key, { namespace, name, ...said, ports, identities: facts.identities, zones })
  }
  return views
}

interface SaidExport {
  readonly uid: string
  readonly createdAt: string
  readonly type: Export['type']
  readonly properties: ExportProperties
}

function zoneOf({ cloud, region, zone, ready, total }: ImportedFacts): ExportedZone[] {
  return total === 0 && zone === '' ? [] : [{ cloud, region, zone, ready, total }]
}

function servicePort(port: SlicePort): ServicePort {
  return {
    name: port.name ?? '',
    port: port.port ?? 0,
    protocol: port.protocol ?? 'TCP',
    ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
  }
}

/** What this cluster exported when it last wrote its imports, by `namespace/name`. */
export function rebuildOwn(imports: readonly ServiceImport[]): Map<string, OwnExport> {
  const own = new Map<string, OwnExport>()
  for (const each of imports) {
    const value = parseJson(each.metadata.annotations?.[OWN_EXPORT_ANNOTATION]) as OwnExport | undefined
    if (!isOurs(each) || value === undefined) continue
    own.set(exportKey({ namespace: each.metadata.namespace ?? '', name: each.metadata.name ?? '' }), value)
  }
  return own
}

/** Whether two states of a slice differ in how many are ready, and in nothing that matters at once. */
export function countsOnly(before: EndpointSlice, after: EndpointSlice): boolean {
  const [old, now] = [factsOf(before), factsOf(after)]
  if (old === undefined || now === undefined) return false
  const blank = { ready: 0, total: 0 }
  if ((old.ready === 0) !== (now.ready === 0)) return false
  if (JSON.stringify({ ...old, ...blank }) !== JSON.stringify({ ...now, ...blank })) return false
  const said = (slice: EndpointSlice): string | undefined => slice.metadata.annotations?.[EXPORT_ANNOTATION]
  return said(before) === said(after) && JSON.stringify(before.ports) === JSON.stringify(after.ports)
}

/** As `countsOnly`, between two states of an export. */
export function exportCountsOnly(before: Export, after: Export): boolean {
  if ((readyOf(before) === 0) !== (readyOf(after) === 0)) return false
  const zeros = (each: Export): string =>
    each.zones.map((zone) => `${zoneHash(zone)}${zone.ready === 0 ? '-' : '+'}`).join()
  const rest = (each: Export): string => JSON.stringify({ ...each, zones: [] })
  return zeros(before) === zeros(after) && rest(before) === rest(after)
}

function factsOf(slice: EndpointSlice): ImportedFacts | undefined {
  return parseJson(slice.metadata.annotations?.[ANNOTATIONS.facts]) as ImportedFacts | undefined
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined // written by someone else: it says nothing
  }
}
