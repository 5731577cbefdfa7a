/**
 * Writes what becomes of the Gateway API's objects into their status: by the replica that leads, and only where it differs
 * from what stands there. Judged again with every snapshot that changes an input; a write that fails is tried again.
 */
import { isDeepStrictEqual } from 'node:util'
import type { KubeClient } from '../../kube/client.ts'
import { wholeSeconds } from '../../kube/times.ts'
import type { LeaseLock } from '../../kube/lease-lock.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Snapshot } from '../observe/facts.ts'
import { replaceStatus } from '../status-write.ts'
import { merged } from './merge.ts'
import { type Wanted, wantedStatus } from './wanted.ts'

export interface GatewayStatusOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly leadership: Pick<LeaseLock, 'isLeader' | 'onChange'>
}

const CONCURRENCY = 4

export class GatewayStatus {
  readonly #options: GatewayStatusOptions
  readonly #queue: WorkQueue
  #wanted = new Map<string, Wanted>()
  #snapshot: Snapshot | undefined
  #seen: readonly unknown[] = []
  readonly #unsubscribe: () => void

  constructor(options: GatewayStatusOptions) {
    this.#options = options
    const { clock, random, log, leadership } = options
    this.#queue = new WorkQueue({
      work: (key) => this.#write(key),
      concurrency: CONCURRENCY,
      clock,
      random,
      onError: (key, error, retryMs) =>
        log.warn({ object: key, reason: messageOf(error), retryMs }, 'a status could not be written'),
    })
    // Who comes to lead knows nothing of what the one before has written.
    this.#unsubscribe = leadership.onChange(({ isLeader }) => {
      if (isLeader) this.#judge(true)
    })
  }

  set(snapshot: Snapshot): void {
    this.#snapshot = snapshot
    const { services, exports, imports, networking, gatewayApi, pods } = snapshot
    const tables = [services, exports, imports, networking.serviceEntries, ...Object.values(gatewayApi)]
    // Pods matter to Gateways alone, and change all the time.
    const inputs = [...tables, ...(gatewayApi.gateways.size === 0 ? [] : [pods, snapshot.namespaces])]
    if (inputs.length === this.#seen.length && inputs.every((input, index) => input === this.#seen[index])) return
    this.#seen = inputs
    this.#judge(false)
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  stop(): Promise<void> {
    this.#unsubscribe()
    return this.#queue.stop()
  }

  /** `all`: also what was wanted before. */
  #judge(all: boolean): void {
    if (this.#snapshot === undefined || !this.#options.leadership.isLeader) return
    const wanted = new Map(wantedStatus(this.#snapshot).map((one) => [keyOf(one), one]))
    const before = this.#wanted
    this.#wanted = wanted
    for (const [key, one] of wanted) if (all || !isDeepStrictEqual(before.get(key), one)) this.#queue.add(key)
  }

  async #write(key: string): Promise<void> {
    const wanted = this.#wanted.get(key)
    const { client, clock, leadership } = this.#options
    if (wanted === undefined || !leadership.isLeader) return
    const { resource, name, namespace, says } = wanted
    const found = await client.get(resource, name, namespace === '' ? undefined : namespace)
    const next = found && merged(found, says, wholeSeconds(clock.now()))
    if (next === undefined) return
    await replaceStatus(client, resource, next)
  }
}

const keyOf = ({ resource, namespace, name }: Wanted): string => `${resource.plural}/${namespace}/${name}`
