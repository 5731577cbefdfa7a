/**
 * Writes the virtual addresses of ServiceEntries into their status, where they outlive every control plane. All replicas
 * come to the same addresses and write only what differs; of two that write at once the API server takes one, and the
 * other looks again. What is not written down yet is in nobody's configuration.
 */
import { isDeepStrictEqual } from 'node:util'
import type { KubeClient } from '../kube/client.ts'
import { SERVICE_ENTRIES, type ServiceEntry } from '../kube/kinds/networking.ts'
import { WorkQueue } from '../kube/work-queue.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { ServiceEntryFacts, Snapshot } from './observe/facts.ts'
import { replaceStatus } from './status-write.ts'
import { allocate, type AllocatedAddress, isVirtualAddress } from './virtual-addresses.ts'

export interface AddressStatusOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const CONCURRENCY = 4
const NONE: readonly AllocatedAddress[] = []

export class AddressStatus {
  readonly #options: AddressStatusOptions
  readonly #queue: WorkQueue
  #entries: ReadonlyMap<string, ServiceEntryFacts> = new Map()
  #wanted: ReadonlyMap<string, readonly AllocatedAddress[]> = new Map()

  constructor(options: AddressStatusOptions) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      work: (key) => this.#write(key),
      concurrency: CONCURRENCY,
      clock,
      random,
      onError: (key, error, retryMs) =>
        log.warn({ serviceEntry: key, reason: messageOf(error), retryMs }, 'virtual addresses could not be written'),
    })
  }

  set({ networking: { serviceEntries } }: Snapshot): void {
    if (serviceEntries === this.#entries) return
    this.#entries = serviceEntries
    this.#wanted = allocate(serviceEntries)
    for (const [key, entry] of serviceEntries) {
      if (!isDeepStrictEqual(entry.allocated ?? NONE, this.#wanted.get(key) ?? NONE)) this.#queue.add(key)
    }
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  async #write(key: string): Promise<void> {
    const { client } = this.#options
    const [namespace = '', name = ''] = key.split('/')
    const found = await client.get(SERVICE_ENTRIES, name, namespace)
    if (found === undefined || !this.#entries.has(key)) return
    const before = found.status?.addresses ?? []
    // Somebody else's stay: their ranges are not ours to clear.
    const others = before.filter(({ value }) => value === undefined || !isVirtualAddress(value))
    const next = [...others, ...(this.#wanted.get(key) ?? NONE)]
    if (isDeepStrictEqual(before, next)) return
    const object: ServiceEntry = { ...found, status: { ...found.status, addresses: next } }
    await replaceStatus(client, SERVICE_ENTRIES, object)
  }
}
