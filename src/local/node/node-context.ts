/** What the workers of all pods share; built once by the agent. */
import type { KubeClient } from '../../kube/client.ts'
import type { Pod } from '../../kube/kinds.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import type { PodNetwork } from '../cluster/namespaces.ts'
import type { EventRecorder } from '../controllers/events.ts'
import type { Sources } from './environment.ts'
import type { Images } from './images.ts'
import type { ProcessTable } from './process-table.ts'

export interface NodeContext {
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly images: Images
  readonly processes: ProcessTable
  readonly events: EventRecorder
  /** Namespaced plan only. */
  readonly network: PodNetwork | undefined
  /** What every container gets before its own variables. */
  readonly environment: Readonly<Record<string, string>>
  podDirectory(pod: Pod): string
  sources(namespace: string): Sources
  /** Why a fault holds the pod's containers back, or undefined. */
  held(pod: Pod): string | undefined
  /** Whether a fault has stopped the pod's processes. */
  frozen(pod: Pod): boolean
}
