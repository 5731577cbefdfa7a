/** The replica that leads, and what it alone does: two that write one status would write it for ever. */
import type { KubeClient } from '../../kube/client.ts'
import { LeaseLock } from '../../kube/lease-lock.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Snapshot } from '../observe/facts.ts'
import { GatewayStatus } from './writer.ts'

export interface LeadingOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Of this replica; empty outside a pod. */
  readonly podName: string
  readonly podIp: string
}

export class Leading {
  readonly #lock: LeaseLock
  readonly #status: GatewayStatus

  constructor({ podName, podIp, ...shared }: LeadingOptions) {
    const { client, clock, random, log } = shared
    this.#lock = new LeaseLock({
      client,
      namespace: SYSTEM_NAMESPACE,
      name: OBJECTS.controlPlaneLease,
      identity: podName === '' ? podIp : podName,
      clock,
      random,
      onError: (error) => log.debug({ reason: messageOf(error) }, 'the lease cannot be held or read'),
    })
    this.#status = new GatewayStatus({ ...shared, leadership: this.#lock })
  }

  start(): void {
    this.#lock.start()
  }

  set(snapshot: Snapshot): void {
    this.#status.set(snapshot)
  }

  async stop(): Promise<void> {
    await this.#status.stop()
    await this.#lock.stop()
  }
}
