/**
 * What translate sees of a snapshot, for questions of people: the same tables and scopes, with a memory of their own so
 * that a question costs the proxies nothing.
 */
import { type PodFacts, type Snapshot } from '../observe/facts.ts'
import type { Host } from '../translate/hosts.ts'
import { isSelecting } from '../translate/inbound.ts'
import { type Scope, Scopes } from '../translate/istio/scope.ts'
import type { PeerModes } from '../translate/security/peer-modes.ts'
import { Tables } from '../translate/tables.ts'

export class Views {
  readonly tables = new Tables()
  readonly #scopes = new Scopes()

  scopeOf(snapshot: Snapshot, pod: PodFacts): Scope {
    return this.#scopes.scopeOf(snapshot, pod, this.tables.hosts(snapshot))
  }

  hosts(snapshot: Snapshot): readonly Host[] {
    return this.tables.hosts(snapshot)
  }

  modes(snapshot: Snapshot): PeerModes {
    return this.tables.peerModes(snapshot)
  }
}

/** Pods behind a service of the cluster, sorted by name. */
export function podsBehind(snapshot: Snapshot, key: string): readonly PodFacts[] {
  const service = snapshot.services.get(key)
  if (service === undefined) return []
  const pods = [...snapshot.pods.values()].filter((pod) => isSelecting(service, pod))
  return pods.sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** Who would call from a namespace where no pod is named: one without labels. */
export function anyoneIn(namespace: string): PodFacts {
  return {
    namespace,
    name: '',
    uid: '',
    ip: '',
    serviceAccount: 'default',
    node: '',
    workload: '',
    hasSidecar: true,
    captured: true,
    ready: true,
    labels: {},
    ports: {},
  }
}
