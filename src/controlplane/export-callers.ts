/**
 * Tells each ServiceExport whose policies would leave a peer's callers out: condition `PeersAdmitted`. Before a failover,
 * when there is time to mend it.
 */
import { SERVICE_EXPORTS, type ServiceExport } from '../kube/kinds.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Cancel, Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { ObjectConditions, type Word } from './object-conditions.ts'
import type { Snapshot } from './observe/facts.ts'
import { type PeerVerdict, peerVerdicts } from './translate/security/peer-callers.ts'

export interface ExportCallersOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** Pods come and go all the time; nobody waits for these words. */
const AFTER_MS = 1_000

export class ExportCallers {
  readonly #clock: Clock
  readonly #conditions: ObjectConditions<ServiceExport>
  #seen: readonly unknown[] = []
  #snapshot: Snapshot | undefined
  #scheduled: Cancel | undefined

  constructor(options: ExportCallersOptions) {
    this.#clock = options.clock
    this.#conditions = new ObjectConditions({ ...options, resource: SERVICE_EXPORTS, type: 'PeersAdmitted' })
  }

  set(snapshot: Snapshot): void {
    const { exports, services, pods, peers, namespaces, security } = snapshot
    const inputs = [exports, services, pods, peers, namespaces, security.authorizationPolicies]
    if (inputs.every((input, index) => input === this.#seen[index])) return
    this.#seen = inputs
    this.#snapshot = snapshot
    this.#scheduled ??= this.#clock.after(AFTER_MS, () => this.#say())
  }

  async stop(): Promise<void> {
    this.#scheduled?.()
    await this.#conditions.stop()
  }

  #say(): void {
    this.#scheduled = undefined
    if (this.#snapshot === undefined) return
    const words = new Map<string, Word>()
    for (const [key, verdict] of peerVerdicts(this.#snapshot)) words.set(key, wordOf(verdict))
    this.#conditions.say(words)
  }
}

function wordOf({ refused }: PeerVerdict): Word {
  if (refused.length === 0) {
    return { status: 'True', reason: 'Admitted', message: '', generation: undefined }
  }
  const lines = refused.map(
    ({ trustDomain, policies }) =>
      `callers of ${trustDomain} are refused by AuthorizationPolicy ${policies.join(', ')}`,
  )
  const way = 'name them by source.trustDomains, or admit their namespaces by ClusterPeer.spec.sameNamespaces'
  return { status: 'False', reason: 'RefusedByPolicy', message: `${lines.join('; ')}: ${way}`, generation: undefined }
}
