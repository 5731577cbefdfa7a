/**
 * Keeps ConfigMap `isthmus-serving-root` in every namespace, where sidecars mount it to verify the control plane. It
 * writes what differs and deletes nothing; a namespace's own deletion takes its copy along.
 */
import { isConflict, type KubeClient } from '../../kube/client.ts'
import { CONFIG_MAPS, type ConfigMap } from '../../kube/kinds.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import { OBJECTS } from '../../model/names.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'

export interface ServingRootOptions {
  readonly client: KubeClient
  readonly rootPem: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const CA_CERTIFICATE = 'ca.crt'
/** Copies that someone deleted or changed come back by then; watching every ConfigMap would cost more than it gives. */
const RECHECK_MS = 600_000
const CONCURRENCY = 4

export class ServingRoot {
  readonly #options: ServingRootOptions
  readonly #queue: WorkQueue
  #namespaces: ReadonlySet<string> = new Set()
  readonly #recheck: Cancel

  constructor(options: ServingRootOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      work: (namespace) => this.#write(namespace),
      concurrency: CONCURRENCY,
      clock,
      random,
      onError: (namespace, error, retryMs) => {
        log.warn({ namespace, reason: messageOf(error), retryMs }, 'the serving root could not be written')
      },
    })
    this.#recheck = clock.every(RECHECK_MS, () => {
      for (const namespace of this.#namespaces) this.#queue.add(namespace)
    })
  }

  /** The namespaces there are; new ones get their copy. */
  reconcile(namespaces: Iterable<string>): void {
    const next = new Set(namespaces)
    for (const namespace of next) if (!this.#namespaces.has(namespace)) this.#queue.add(namespace)
    this.#namespaces = next
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  async stop(): Promise<void> {
    this.#recheck()
    await this.#queue.stop()
  }

  async #write(namespace: string): Promise<void> {
    // Gone meanwhile; nothing could be written any more.
    if (!this.#namespaces.has(namespace)) return
    const { client, rootPem } = this.#options
    const present = await client.get(CONFIG_MAPS, OBJECTS.servingRoot, namespace)
    if (present?.data?.[CA_CERTIFICATE] === rootPem) return
    const data = { [CA_CERTIFICATE]: rootPem }
    if (present !== undefined) {
      await client.patch(CONFIG_MAPS, { name: OBJECTS.servingRoot, namespace }, { data }, { type: 'merge' })
      return
    }
    const root: ConfigMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: OBJECTS.servingRoot, namespace },
      data,
    }
    try {
      await client.create(CONFIG_MAPS, root)
    } catch (error) {
      // The other replica wrote the same root.
      if (!isConflict(error)) throw error
    }
  }
}
