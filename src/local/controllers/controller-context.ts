/** What every controller gets; built once by the cluster process. */
import type { KubeClient } from '../../kube/client.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { Caches } from '../cluster/caches.ts'
import type { EventRecorder } from './events.ts'

export interface ControllerContext {
  readonly client: KubeClient
  readonly caches: Caches
  readonly events: EventRecorder
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Controller {
  /** Caches are synced. */
  start(): void
  stop(): Promise<void>
}
