/**
 * Watches Secrets where gateways run, and nowhere else: who installs a gateway gives the control plane the right to read
 * its namespace's Secrets (a Role there), and without it TLS of that gateway is refused, never served otherwise.
 */
import type { KubeClient } from '../../kube/client.ts'
import { KubeError } from '../../kube/client.ts'
import { SECRETS } from '../../kube/kinds.ts'
import { Reflector } from '../../kube/reflector.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { FactTable } from './fact-table.ts'
import type { SecretFacts } from './facts-secrets.ts'
import type { PodFacts } from './facts.ts'
import { readTlsSecret } from './read-secret.ts'

export interface SecretWatchOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly onChange: () => void
}

const FORBIDDEN = 403

export class SecretWatch {
  readonly #options: SecretWatchOptions
  readonly #table
  readonly #reflectors = new Map<string, { stop(): Promise<void> }>()
  readonly #namespaces = new Map<string, 'listed' | 'refused'>()
  #followed: ReadonlyMap<string, PodFacts> | undefined
  #current: SecretFacts | undefined

  constructor(options: SecretWatchOptions) {
    this.#options = options
    this.#table = new FactTable(readTlsSecret, () => this.#changed())
  }

  get current(): SecretFacts {
    this.#current ??= { byName: this.#table.current, namespaces: new Map(this.#namespaces) }
    return this.#current
  }

  /** Stop is not remove: where a gateway was, the next one finds its Secrets known. */
  follow(pods: ReadonlyMap<string, PodFacts>): void {
    if (pods === this.#followed) return
    this.#followed = pods
    for (const { namespace, gateway } of pods.values()) {
      if (gateway !== undefined && !this.#reflectors.has(namespace)) this.#watch(namespace)
    }
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#reflectors.values(), (reflector) => reflector.stop()))
  }

  #watch(namespace: string): void {
    const { client, clock, random, log } = this.#options
    const onError = (error: unknown, retryMs: number): void => {
      log.warn({ namespace, reason: messageOf(error), retryMs }, 'Secrets of a gateway cannot be read')
      // What was read once stays; who never was let in is told so.
      if (error instanceof KubeError && error.code === FORBIDDEN) this.#settle(namespace, 'refused')
    }
    const reflector = new Reflector({ client, resource: SECRETS, scope: { namespace }, clock, random, onError })
    reflector.store.subscribe((change) => this.#table.apply(change))
    this.#reflectors.set(namespace, reflector)
    reflector.start()
    void reflector.synced.then(() => this.#settle(namespace, 'listed'))
  }

  #settle(namespace: string, state: 'listed' | 'refused'): void {
    const known = this.#namespaces.get(namespace)
    if (known === state || known === 'listed') return
    this.#namespaces.set(namespace, state)
    this.#changed()
  }

  #changed(): void {
    this.#current = undefined
    this.#options.onChange()
  }
}
