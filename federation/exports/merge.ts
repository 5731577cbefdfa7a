/**
 * The MCS merge (KEP-1645, Constraints and Conflict Resolution), pure: the exports of one service in all clusters → one
 * import and the conflicts between them. Oldest export first; equal times (one second is the grain) go by cluster id,
 * bytewise. Never decides what is known: that is the peers' views.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ServicePort } from '../../src/model/service.ts'
import type { ClusterExport, ExportProperties } from './export.ts'

export type ConflictReason =
  | 'PortConflict'
  | 'TypeConflict'
  | 'SessionAffinityConflict'
  | 'SessionAffinityConfigConflict'
  | 'InternalTrafficPolicyConflict'
  | 'TrafficDistributionConflict'
  | 'LabelsConflict'
  | 'AnnotationsConflict'

export interface Conflict {
  readonly reason: ConflictReason
  readonly message: string
}

export interface MergedService {
  readonly namespace: string
  readonly name: string
  readonly type: 'ClusterSetIP' | 'Headless'
  readonly ports: readonly ServicePort[]
  readonly properties: ExportProperties
  /** Source clusters, sorted by name. */
  readonly clusters: readonly string[]
  readonly conflicts: readonly Conflict[]
}

/** At least one export; all of the same namespace and name, one per cluster. */
export function merge(exports: readonly [ClusterExport, ...ClusterExport[]]): MergedService {
  const ordered = [...exports].sort(byAge) as [ClusterExport, ...ClusterExport[]]
  const [oldest] = ordered
  const ports = mergePorts(ordered)
  return {
    namespace: oldest.namespace,
    name: oldest.name,
    type: oldest.type,
    ports,
    properties: oldest.properties,
    clusters: ordered.map((each) => each.cluster).sort(bytewise),
    conflicts: conflictsOf(ordered, ports),
  }
}

export function byAge(a: ClusterExport, b: ClusterExport): number {
  const age = Date.parse(a.createdAt) - Date.parse(b.createdAt)
  return age !== 0 && !Number.isNaN(age) ? age : bytewise(a.cluster, b.cluster)
}

const bytewise = (a: string, b: string): number => (a < b ? -1 : Number(a > b))

/** By name first, then by (protocol, port); what an older export took is not taken again. */
function mergePorts(ordered: readonly ClusterExport[]): readonly ServicePort[] {
  const names = new Set<string>()
  const numbers = new Set<string>()
  const ports: ServicePort[] = []
  for (const port of ordered.flatMap((each) => each.ports)) {
    const number = `${port.protocol}/${port.port}`
    if (names.has(port.name) || numbers.has(number)) continue
    names.add(port.name)
    numbers.add(number)
    ports.push(port)
  }
  return ports
}

interface Property {
  readonly reason: ConflictReason
  readonly label: string
  readonly valueOf: (each: ClusterExport) => unknown
  readonly show: (winner: ClusterExport) => string
}

const quoted = (value: string): string => `"${value === '' ? 'unset' : value}"`
const pairs = (set: Readonly<Record<string, string>>): string =>
  quoted(
    Object.entries(set)
      .sort(([a], [b]) => bytewise(a, b))
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
  )

const PROPERTIES: readonly Property[] = [
  { reason: 'TypeConflict', label: 'type', valueOf: (each) => each.type, show: (each) => quoted(each.type) },
  {
    reason: 'SessionAffinityConflict',
    label: 'session affinity',
    valueOf: (each) => each.properties.sessionAffinity,
    show: (each) => quoted(each.properties.sessionAffinity),
  },
  {
    reason: 'SessionAffinityConfigConflict',
    label: 'session affinity config',
    valueOf: (each) => each.properties.sessionAffinityTimeoutSeconds,
    show: (each) => quoted(`${each.properties.sessionAffinityTimeoutSeconds}s`),
  },
  {
    reason: 'InternalTrafficPolicyConflict',
    label: 'internal traffic policy',
    valueOf: (each) => each.properties.internalTrafficPolicy,
    show: (each) => quoted(each.properties.internalTrafficPolicy),
  },
  {
    reason: 'TrafficDistributionConflict',
    label: 'traffic distribution',
    valueOf: (each) => each.properties.trafficDistribution,
    show: (each) => quoted(each.properties.trafficDistribution),
  },
  {
    reason: 'LabelsConflict',
    label: 'exported labels',
    valueOf: (each) => each.properties.labels,
    show: (each) => pairs(each.properties.labels),
  },
  {
    reason: 'AnnotationsConflict',
    label: 'exported annotations',
    valueOf: (each) => each.properties.annotations,
    show: (each) => pairs(each.properties.annotations),
  },
]

function conflictsOf(
  ordered: readonly [ClusterExport, ...ClusterExport[]],
  merged: readonly ServicePort[],
): Conflict[] {
  const [oldest] = ordered
  const conflicts: Conflict[] = []
  // Even a mere union is a conflict: a port that only some clusters expose reaches only those (KEP-1645, Ports).
  const samePorts = (each: ClusterExport): boolean =>
    isDeepStrictEqual(sortedPorts(each.ports), sortedPorts(oldest.ports))
  const otherPorts = ordered.filter((each) => !samePorts(each)).length
  if (otherPorts > 0) {
    conflicts.push({ reason: 'PortConflict', message: sentence('ports', showPorts(merged), ordered, otherPorts) })
  }
  for (const { reason, label, valueOf, show } of PROPERTIES) {
    const others = ordered.filter((each) => !isDeepStrictEqual(valueOf(each), valueOf(oldest))).length
    if (others > 0) conflicts.push({ reason, message: sentence(label, show(oldest), ordered, others) })
  }
  return conflicts
}

function sortedPorts(ports: readonly ServicePort[]): readonly string[] {
  return ports.map((port) => [port.name, port.protocol, port.port, port.appProtocol ?? ''].join('/')).sort(bytewise)
}

function showPorts(ports: readonly ServicePort[]): string {
  return quoted(
    ports.map((port) => `${port.name === '' ? '' : `${port.name}:`}${port.port}/${port.protocol}`).join(','),
  )
}

function sentence(
  label: string,
  using: string,
  ordered: readonly [ClusterExport, ...ClusterExport[]],
  others: number,
): string {
  const from = `oldest service export in "${ordered[0].cluster}"`
  return `Conflicting ${label}. Using ${using} from ${from}. ${others}/${ordered.length} clusters disagree.`
}
