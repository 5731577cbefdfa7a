/** What people call a pod or a service: `name`, `name.namespace`, `pod/name`, `svc/name`, or a host of the mesh. Pure. */
import type { PodFacts, Snapshot } from '../observe/facts.ts'
import type { Host } from '../translate/hosts.ts'
import { podsBehind } from './views.ts'

export interface Named {
  readonly name: string
  readonly namespace: string
  /** Absent: the word may mean either. */
  readonly kind?: 'pod' | 'service'
}

const KINDS: Readonly<Record<string, Named['kind']>> = {
  pod: 'pod',
  pods: 'pod',
  po: 'pod',
  service: 'service',
  services: 'service',
  svc: 'service',
}

export function readName(text: string, namespace: string): Named {
  const slash = text.indexOf('/')
  const kind = slash < 0 ? undefined : KINDS[text.slice(0, slash)]
  const rest = slash < 0 ? text : text.slice(slash + 1)
  const [name = '', ...more] = rest.split('.')
  // Two parts name a namespace; more are a host, and its second part is its namespace.
  return { name, namespace: more[0] ?? namespace, ...(kind !== undefined && { kind }) }
}

/** The pods that a word means: one, or those behind a service. A pod of that name counts first. */
export function callersNamed(snapshot: Snapshot, text: string, namespace: string): readonly PodFacts[] {
  const { name, namespace: own, kind } = readName(text, namespace)
  const key = `${own}/${name}`
  const pod = kind === 'service' ? undefined : snapshot.pods.get(key)
  if (pod !== undefined) return [pod]
  return kind === 'pod' ? [] : podsBehind(snapshot, key)
}

/** The hosts that a word means, the local name before the clusterset's. */
export function hostsNamed(hosts: readonly Host[], text: string, namespace: string): readonly Host[] {
  const whole = text.toLowerCase()
  const exact = hosts.filter(({ host }) => host === whole)
  if (exact.length > 0) return exact
  const named = readName(text, namespace)
  if (named.kind === 'pod') return []
  return hosts.filter(
    (host) => host.entry === undefined && host.name === named.name && host.namespace === named.namespace,
  )
}
