/** A work queue of object keys with a controller's name on its failures; the queue itself is src/kube's. */
import { KubeError } from '../../kube/client.ts'
import { WorkQueue } from '../../kube/work-queue.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'

export interface ReconcilerOptions {
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Reads the present state of the key's object and moves it one step; level-triggered. */
  readonly reconcile: (key: string) => Promise<void>
}

const CONCURRENCY = 4

export function createReconciler(options: ReconcilerOptions): WorkQueue {
  const { name, clock, random, log, reconcile } = options
  return new WorkQueue({
    work: reconcile,
    clock,
    random,
    concurrency: CONCURRENCY,
    onError: (key, error, retryMs) => {
      // Someone else was faster, or the object is gone: a reason to look again, not a failure.
      const expected = error instanceof KubeError && (error.code === 409 || error.code === 404)
      if (expected) log.debug({ controller: name, key, reason: error.message }, 'looks again')
      else log.warn({ controller: name, key, retryMs, err: error }, 'a reconcile failed and is repeated')
    },
  })
}
