/**
 * What both directions and gateways look up in a snapshot: hosts, exports, slices by service, services by pod. A memory:
 * the same lists while their inputs are the same, so that what is built of them stays too. Pure but for that.
 */
import { Layers } from '../../model/layers.ts'
import type { Locality } from '../../model/locality.ts'
import { type PodFacts, type ServiceFacts, type SliceFacts, type Snapshot } from '../observe/facts.ts'
import { type ExportedService, type Host, listExports, listHosts } from './hosts.ts'
import { servicesSelecting } from './inbound.ts'
import { keepEqual, keepMap, Memo } from './memo.ts'

export const NOWHERE: Locality = { cloud: '', region: '', zone: '' }

export class Tables {
  #hosts: readonly Host[] = []
  readonly #lists = new Memo<readonly unknown[]>()
  readonly #sliceIndex = new Memo<ReadonlyMap<string, readonly SliceFacts[]>>()
  readonly #selectors = new Memo<ReadonlyMap<string, ReadonlyMap<string, ServiceFacts>>>()
  readonly #shared = new WeakMap<readonly unknown[], ReadonlyMap<string, unknown>>()
  readonly #layers = new Memo<Layers<unknown>>()
  /** By what they are for; the last map, so that an equal one keeps its identity. */
  readonly #maps = new Memo<{ last: ReadonlyMap<string, unknown> | undefined }>()

  hosts(snapshot: Snapshot): readonly Host[] {
    const { mesh, services, exports, imports } = snapshot
    return this.list('hosts', [mesh, services, exports, imports], () => {
      this.#hosts = keepEqual(this.#hosts, listHosts(snapshot), ({ host }) => host)
      return this.#hosts
    })
  }

  exports(snapshot: Snapshot): readonly ExportedService[] {
    const { services, exports, namespaces } = snapshot
    const peers = this.peerTrustDomains(snapshot)
    return this.list('exports', [services, exports, namespaces, peers], () => listExports(snapshot))
  }

  /** Sorted; the same list while only the peers' health changes. */
  peerTrustDomains(snapshot: Snapshot): readonly string[] {
    const domains = Array.from(snapshot.peers.values(), ({ trustDomain }) => trustDomain).sort()
    return this.list('peers', domains, () => domains)
  }

  slicesByService(snapshot: Snapshot): ReadonlyMap<string, readonly SliceFacts[]> {
    return this.#sliceIndex.get('all', [snapshot.slices], () => {
      const index = new Map<string, SliceFacts[]>()
      for (const slice of snapshot.slices.values()) {
        const key = `${slice.namespace}/${slice.service}`
        const known = index.get(key)
        if (known === undefined) index.set(key, [slice])
        else known.push(slice)
      }
      return index
    })
  }

  servicesSelecting(pod: PodFacts, services: Snapshot['services']): readonly ServiceFacts[] {
    const key = `${pod.namespace}/${pod.name}`
    const selecting = this.list(`selecting?|${key}`, [pod, services], () =>
      servicesSelecting(pod, this.#candidates(pod, services)),
    )
    return this.list(`selecting|${key}`, selecting, () => selecting)
  }

  /** Services that may select the pod: asking each of thousands for each of hundreds of pods takes seconds. */
  #candidates(pod: PodFacts, services: Snapshot['services']): Snapshot['services'] {
    const index = this.#selectors.get('all', [services], () => indexSelectors(services))
    const found = new Map<string, ServiceFacts>(index.get(`${pod.namespace}|`))
    for (const [label, value] of Object.entries(pod.labels)) {
      for (const [key, service] of index.get(`${pod.namespace}|${label}=${value}`) ?? []) found.set(key, service)
    }
    return found
  }

  /** A list that many proxies share, as one table for all of them. */
  shared<V extends { readonly name: string }>(list: readonly V[]): ReadonlyMap<string, V> {
    let table = this.#shared.get(list)
    if (table === undefined) {
      table = named(list)
      this.#shared.set(list, table)
    }
    return table as ReadonlyMap<string, V>
  }

  /** What is shared and what is a proxy's own, without a copy of the former for each. */
  layers<V>(key: string, layers: readonly ReadonlyMap<string, V>[]): ReadonlyMap<string, V> {
    return this.#layers.get(key, layers, () => new Layers<unknown>(layers)) as Layers<V>
  }

  /** The list built last time for `key`, if every input is the very same object. One key, one type of list. */
  list<V>(key: string, inputs: readonly unknown[], build: () => readonly V[]): readonly V[] {
    return this.#lists.get(key, inputs, build) as readonly V[]
  }

  keep<V>(key: string, next: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
    const holder = this.#maps.get(key, [], () => ({ last: undefined }))
    const kept = keepMap(holder.last as ReadonlyMap<string, V> | undefined, next)
    holder.last = kept
    return kept
  }
}

/** By namespace and the first label of the selector; without one, by namespace alone. */
function indexSelectors(services: Snapshot['services']): ReadonlyMap<string, ReadonlyMap<string, ServiceFacts>> {
  const index = new Map<string, Map<string, ServiceFacts>>()
  for (const [key, service] of services) {
    if (service.selector === undefined) continue
    const [first] = Object.entries(service.selector)
    const at = `${service.namespace}|${first === undefined ? '' : first.join('=')}`
    const known = index.get(at)
    if (known === undefined) index.set(at, new Map([[key, service]]))
    else known.set(key, service)
  }
  return index
}

export function named<V extends { readonly name: string }>(values: readonly V[]): ReadonlyMap<string, V> {
  return new Map(values.map((value) => [value.name, value]))
}

export function byCluster<V extends { readonly cluster: string }>(assignments: readonly V[]): ReadonlyMap<string, V> {
  return new Map(assignments.map((assignment) => [assignment.cluster, assignment]))
}
