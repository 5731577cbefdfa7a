/**
 * Which services may select a pod, without asking each of thousands for each of hundreds of pods. An index, not an
 * answer: whoever uses it still compares the whole selector.
 */
import type { PodFacts, ServiceFacts } from '../observe/facts.ts'

type Services = ReadonlyMap<string, ServiceFacts>

/** By namespace and the first label of the selector; without one, by namespace alone. */
export type SelectorIndex = ReadonlyMap<string, Services>

export function indexSelectors(services: Services): SelectorIndex {
  const index = new Map<string, Map<string, ServiceFacts>>()
  for (const [key, service] of services) {
    if (service.selector === undefined) continue
    const [first] = Object.entries(service.selector)
    const at = first === undefined ? keyAt(service.namespace, '') : keyAt(service.namespace, first.join('='))
    const known = index.get(at)
    if (known === undefined) index.set(at, new Map([[key, service]]))
    else known.set(key, service)
  }
  return index
}

/** Every service that selects the pod is among them. */
export function candidatesFor(pod: PodFacts, index: SelectorIndex): Services {
  const found = new Map(index.get(keyAt(pod.namespace, '')))
  for (const [label, value] of Object.entries(pod.labels)) {
    for (const [key, service] of index.get(keyAt(pod.namespace, `${label}=${value}`)) ?? []) found.set(key, service)
  }
  return found
}

const keyAt = (namespace: string, label: string): string => `${namespace}|${label}`
