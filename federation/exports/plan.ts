/**
 * The difference between what clusters export and what stands in this cluster's API, pure: every known export and the
 * existing objects → the operations that make them agree. What is unknown is not here to be deleted: the views that
 * feed this hold on to what a silent peer said.
 */
import { isDeepStrictEqual } from 'node:util'
import type { EndpointSlice, Namespace, ServiceExport, ServiceImport } from '../../src/kube/kinds.ts'
import { ENDPOINT_SLICES, SERVICE_EXPORTS, SERVICE_IMPORTS } from '../../src/kube/kinds.ts'
import type { KubeObject, Resource } from '../../src/kube/object.ts'
import { LABELS } from '../../src/model/names.ts'
import type { Collected } from './collect.ts'
import { withConditions, type Verdict } from '../../src/kube/conditions.ts'
import { exportKey, SYSTEM_NAMESPACES, type ClusterExport } from './export.ts'
import { countsOnly, importedSlices, isOurs, isOurSlice, serviceImport } from './import-objects.ts'
import { merge, type MergedService } from './merge.ts'
import type { VirtualIps } from './virtual-ips.ts'

export interface Operation {
  readonly verb: 'create' | 'replace' | 'replace-status' | 'remove'
  readonly resource: Resource<KubeObject>
  readonly object: KubeObject
  /** Set on facts of a peer that may wait for their turn (≤ 1 write/s per peer). */
  readonly pacedFor?: string
}

export interface PlanInput {
  readonly cluster: string
  /** This cluster's own exports. */
  readonly collected: Collected
  /** Every peer's known exports, stamped. */
  readonly imported: readonly ClusterExport[]
  readonly namespaces: readonly Namespace[]
  readonly serviceExports: readonly ServiceExport[]
  readonly imports: readonly ServiceImport[]
  readonly slices: readonly EndpointSlice[]
  readonly virtualIps: VirtualIps
  /** Peer → what it refused, for the ServiceExport's condition. */
  readonly refusals: ReadonlyMap<string, readonly string[]>
  /** RFC 3339. */
  readonly now: string
}

export function plan(input: PlanInput): Operation[] {
  const merged = mergeAll(input)
  const imports = new Map(input.imports.map((each) => [keyOf(each), each]))
  const operations: Operation[] = []
  const wanted = new Map<string, EndpointSlice>()
  const awaited = new Set<string>()
  for (const [key, service] of merged) {
    const existing = imports.get(key)
    if (existing !== undefined && !isOurs(existing)) continue // someone else's import: never touched
    operations.push(...planImport(input, service, existing))
    if (existing?.metadata.uid === undefined) {
      awaited.add(key) // slices need their owner's uid: the next round makes them, or gives them their new owner
      continue
    }
    for (const from of service.exports) {
      if (from.cluster === input.cluster) continue // own endpoints are in the Service's own slices
      for (const slice of importedSlices(from, existing)) wanted.set(keyOf(slice), slice)
    }
  }
  operations.push(...planSlices(input.slices, wanted, awaited))
  for (const [key, existing] of imports) {
    if (!merged.has(key) && isOurs(existing)) operations.push(remove(SERVICE_IMPORTS, existing))
  }
  operations.push(...planConditions(input, merged))
  return operations
}

interface Known extends MergedService {
  readonly exports: readonly ClusterExport[]
}

/** Only where the namespace exists: creating it is its owner's business (KEP-1645, 1.2). */
function mergeAll(input: PlanInput): ReadonlyMap<string, Known> {
  const present = new Set(input.namespaces.filter(isActive).map((each) => each.metadata.name ?? ''))
  const groups = new Map<string, [ClusterExport, ...ClusterExport[]]>()
  const own = [...input.collected.exports.values()].map(({ service }) =>
    Object.assign({ cluster: input.cluster }, service),
  )
  for (const service of [...own, ...input.imported]) {
    if (!present.has(service.namespace) || SYSTEM_NAMESPACES.has(service.namespace)) continue
    const key = exportKey(service)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [service])
    else group.push(service)
  }
  return new Map([...groups].map(([key, group]) => [key, { ...merge(group), exports: group }]))
}

function planImport(input: PlanInput, service: Known, existing: ServiceImport | undefined): Operation[] {
  const key = exportKey(service)
  const local = input.collected.exports.get(key)
  const own = local === undefined ? undefined : { uid: local.service.uid, to: local.to }
  const ip = service.type === 'Headless' ? undefined : (existing?.spec.ips?.[0] ?? input.virtualIps.allocate(key))
  const desired = serviceImport(service, ip, own)
  if (existing === undefined) return [{ verb: 'create', resource: SERVICE_IMPORTS, object: desired }]
  const operations: Operation[] = []
  if (!sameImport(existing, desired)) operations.push(replacement(SERVICE_IMPORTS, existing, desired))
  const status = importStatus(input, service, existing)
  if (!isDeepStrictEqual(existing.status?.clusters ?? [], status.clusters) || !sameConditions(existing, status)) {
    const object: ServiceImport = { ...existing, status }
    operations.push({ verb: 'replace-status', resource: SERVICE_IMPORTS, object })
  }
  return operations
}

function sameImport(a: ServiceImport, b: ServiceImport): boolean {
  return (
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual(a.metadata.labels ?? {}, b.metadata.labels) &&
    isDeepStrictEqual(a.metadata.annotations ?? {}, b.metadata.annotations)
  )
}

function importStatus(input: PlanInput, service: Known, existing: ServiceImport): NonNullable<ServiceImport['status']> {
  const lacksIp = service.type === 'ClusterSetIP' && (existing.spec.ips ?? []).length === 0
  const ready: Verdict = lacksIp
    ? {
        type: 'Ready',
        status: 'False',
        reason: 'Pending',
        message: 'No virtual IP is free: widen ISTHMUS_CLUSTERSET_CIDR.',
      }
    : { type: 'Ready', status: 'True', reason: 'Ready', message: '' }
  const at = { now: input.now, generation: existing.metadata.generation }
  return {
    clusters: service.clusters.map((cluster) => ({ cluster })),
    conditions: withConditions(existing.status?.conditions, [ready], at),
  }
}

function planSlices(
  existing: readonly EndpointSlice[],
  wanted: ReadonlyMap<string, EndpointSlice>,
  awaited: ReadonlySet<string>,
): Operation[] {
  const operations: Operation[] = []
  const present = new Map(existing.filter(isOurSlice).map((slice) => [keyOf(slice), slice]))
  for (const [key, desired] of wanted) {
    const slice = present.get(key)
    if (slice === undefined) operations.push({ verb: 'create', resource: ENDPOINT_SLICES, object: desired })
    else if (!sameSlice(slice, desired)) {
      const peer = desired.metadata.labels?.[LABELS.mcsSourceCluster] ?? ''
      const operation = replacement(ENDPOINT_SLICES, slice, desired)
      operations.push(countsOnly(slice, desired) ? { ...operation, pacedFor: peer } : operation)
    }
  }
  for (const [key, slice] of present) {
    const { namespace = '', labels } = slice.metadata
    // Made for an import that is not there any more, or not yet: endpoints must not blink for that.
    const isAwaited = awaited.has(exportKey({ namespace, name: labels?.[LABELS.mcsServiceName] ?? '' }))
    if (!wanted.has(key) && !isAwaited) operations.push(remove(ENDPOINT_SLICES, slice))
  }
  return operations
}

function sameSlice(a: EndpointSlice, b: EndpointSlice): boolean {
  return (
    isDeepStrictEqual(a.endpoints ?? [], b.endpoints) &&
    isDeepStrictEqual(a.ports ?? [], b.ports) &&
    isDeepStrictEqual(a.metadata.labels, b.metadata.labels) &&
    isDeepStrictEqual(a.metadata.annotations, b.metadata.annotations) &&
    a.metadata.ownerReferences?.[0]?.uid === b.metadata.ownerReferences?.[0]?.uid
  )
}

/** Valid, Ready and Conflict of every ServiceExport, valid or not (KEP-1645, 1.3). */
function planConditions(input: PlanInput, merged: ReadonlyMap<string, Known>): Operation[] {
  const operations: Operation[] = []
  for (const serviceExport of input.serviceExports) {
    const key = keyOf(serviceExport)
    const validity = input.collected.validity.get(key)
    if (validity === undefined) continue
    const verdicts = validity.valid
      ? exportVerdicts(merged.get(key), [input.collected.remarks.get(key) ?? '', ...(input.refusals.get(key) ?? [])])
      : [
          { type: 'Valid', status: 'False', reason: validity.reason, message: validity.message } as const,
          { type: 'Ready', status: 'False', reason: 'Failed', message: 'The export is not valid.' } as const,
        ]
    const at = { now: input.now, generation: serviceExport.metadata.generation }
    const status = { conditions: withConditions(serviceExport.status?.conditions, verdicts, at) }
    if (sameConditions(serviceExport, status)) continue
    operations.push({
      verb: 'replace-status',
      resource: SERVICE_EXPORTS,
      object: { ...serviceExport, status } as ServiceExport,
    })
  }
  return operations
}

function exportVerdicts(service: Known | undefined, remarks: readonly string[]): Verdict[] {
  const conflicts = service?.conflicts ?? []
  const conflict: Verdict =
    conflicts.length === 0
      ? { type: 'Conflict', status: 'False', reason: 'NoConflicts', message: '' }
      : {
          type: 'Conflict',
          status: 'True',
          reason: conflicts.map(({ reason }) => reason).join(','),
          message: conflicts.map(({ message }) => message).join(' '),
        }
  return [
    { type: 'Valid', status: 'True', reason: 'Valid', message: '' },
    { type: 'Ready', status: 'True', reason: 'Exported', message: remarks.join(' ').trim() },
    conflict,
  ]
}

/** The object as it stands, with the desired content: its resourceVersion makes the write a compare-and-swap. */
function replacement<T extends KubeObject>(resource: Resource<T>, existing: T, desired: T): Operation {
  const { name, namespace, uid, resourceVersion } = existing.metadata
  const metadata = {
    ...existing.metadata,
    ...desired.metadata,
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  }
  return { verb: 'replace', resource, object: { ...existing, ...desired, metadata } }
}

const remove = <T extends KubeObject>(resource: Resource<T>, object: T): Operation => ({
  verb: 'remove',
  resource,
  object,
})

function sameConditions(
  object: { status?: { conditions?: readonly object[] } },
  status: { conditions?: readonly object[] },
): boolean {
  return isDeepStrictEqual(object.status?.conditions ?? [], status.conditions ?? [])
}

const isActive = (namespace: Namespace): boolean =>
  namespace.status?.phase !== 'Terminating' && namespace.metadata.deletionTimestamp === undefined

function keyOf(object: KubeObject): string {
  return exportKey({ namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' })
}
