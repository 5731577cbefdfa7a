/**
 * Writes one pod's status: the newest only, one request at a time, nothing when it equals what the server has. The
 * agent is the only writer of a pod's status, so it needs no resourceVersion.
 */
import { isDeepStrictEqual } from 'node:util'
import { KubeError } from '../../kube/client.ts'
import { PODS, type Pod, type PodStatus } from '../../kube/kinds.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { delay } from '../../runtime/clock.ts'
import type { NodeContext } from './node-context.ts'

export class StatusWriter {
  readonly #context: Pick<NodeContext, 'client' | 'clock' | 'random' | 'log'>
  readonly #target: { name: string; namespace: string }
  readonly #uid: string | undefined
  readonly #closing = new AbortController()
  #wanted: PodStatus | undefined
  #written: PodStatus | undefined
  #running: Promise<void> | undefined
  #gone = false

  constructor(context: Pick<NodeContext, 'client' | 'clock' | 'random' | 'log'>, pod: Pod) {
    this.#context = context
    this.#target = { name: pod.metadata.name ?? '', namespace: pod.metadata.namespace ?? '' }
    this.#uid = pod.metadata.uid
    this.#written = pod.status
  }

  /** What the server has now: someone else's write to the status is put right with the next change. */
  seen(pod: Pod): void {
    if (this.#running === undefined) this.#written = pod.status
  }

  write(status: PodStatus): void {
    this.#wanted = status
    this.#running ??= this.#drain().finally(() => (this.#running = undefined))
  }

  /** Resolves when the last status is written or the pod is gone. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #drain(): Promise<void> {
    const { clock, random, client, log } = this.#context
    const backoff = new Backoff({ initialMs: 100, maxMs: 5_000, random })
    // Changes of one event-loop turn become one write.
    await Promise.resolve()
    while (this.#wanted !== undefined && !this.#gone) {
      const status = this.#wanted
      if (isDeepStrictEqual(status, this.#written)) {
        this.#wanted = undefined
        return
      }
      try {
        const patch = { metadata: { uid: this.#uid }, status: withNulls(this.#written, status) }
        await client.patch(PODS, this.#target, patch, { type: 'merge', subresource: 'status' })
        this.#written = status
        backoff.reset()
      } catch (error) {
        // 409: the name belongs to another pod by now.
        if (error instanceof KubeError && (error.code === 404 || error.code === 409)) this.#gone = true
        else if (this.#closing.signal.aborted) return
        else {
          log.debug({ err: error, pod: this.#target.name }, 'a pod status was not written')
          await delay(clock, backoff.next(), this.#closing.signal)
        }
      }
    }
  }
}

/** A merge patch removes a key only by null. */
function withNulls(before: PodStatus | undefined, after: PodStatus): Record<string, unknown> {
  const patch: Record<string, unknown> = { ...after }
  for (const key of Object.keys(before ?? {})) if (!(key in after)) patch[key] = null
  return patch
}
