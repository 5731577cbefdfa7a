/**
 * Conditions that follow from what this process knows, on objects of any kind. Written when they change here and not when
 * they differ from what stands there: two replicas whose words differ (one reaches an issuer, the other does not) must
 * not write against each other without end.
 */
import type { KubeClient } from '../kube/client.ts'
import { withConditions, type Verdict } from '../kube/conditions.ts'
import type { Condition, KubeObject, Resource } from '../kube/object.ts'
import { wholeSeconds } from '../kube/times.ts'
import { WorkQueue } from '../kube/work-queue.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { replaceStatus } from './status-write.ts'

export interface ObjectConditionsOptions<T extends KubeObject> {
  readonly resource: Resource<T>
  /** The one condition that is written. */
  readonly type: string
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Word extends Omit<Verdict, 'type'> {
  /** That was judged. Undefined: what is said does not hang on it. */
  readonly generation: number | undefined
}

type WithStatus = KubeObject & { readonly status?: { readonly conditions?: readonly Condition[] } }

const CONCURRENCY = 2

export class ObjectConditions<T extends KubeObject> {
  readonly #options: ObjectConditionsOptions<T>
  readonly #queue: WorkQueue
  readonly #words = new Map<string, Word>()
  readonly #written = new Map<string, string>()

  constructor(options: ObjectConditionsOptions<T>) {
    this.#options = options
    const { clock, random, log } = options
    this.#queue = new WorkQueue({
      work: (key) => this.#write(key),
      concurrency: CONCURRENCY,
      clock,
      random,
      onError: (key, error, retryMs) =>
        log.warn({ object: key, reason: messageOf(error), retryMs }, 'a condition could not be written'),
    })
  }

  /** Of all objects that there is something to say about, by `namespace/name`; of others what stands there is taken back. */
  say(words: ReadonlyMap<string, Word>): void {
    for (const key of this.#words.keys()) if (!words.has(key)) this.#put(key, undefined)
    for (const [key, word] of words) this.#put(key, word)
  }

  idle(): Promise<void> {
    return this.#queue.idle()
  }

  stop(): Promise<void> {
    return this.#queue.stop()
  }

  #put(key: string, word: Word | undefined): void {
    if (word === undefined) this.#words.delete(key)
    else this.#words.set(key, word)
    if (this.#written.get(key) !== markOf(word)) this.#queue.add(key)
  }

  async #write(key: string): Promise<void> {
    const { client, resource } = this.#options
    const word = this.#words.get(key)
    const [namespace = '', name = ''] = key.split('/')
    const found = await client.get(resource, name, namespace)
    // A newer generation is judged when the watch brings it.
    const isJudged = word?.generation === undefined || found?.metadata.generation === word.generation
    if (found !== undefined && isJudged) {
      await this.#replace(found, word)
    }
    const mark = markOf(word)
    if (mark === undefined) this.#written.delete(key)
    else this.#written.set(key, mark)
  }

  async #replace(found: T & WithStatus, word: Word | undefined): Promise<void> {
    const { client, resource, type, clock } = this.#options
    const before = found.status?.conditions ?? []
    const now = wholeSeconds(clock.now())
    const next =
      word === undefined
        ? before.filter((condition) => condition.type !== type)
        : withConditions(before, [{ type, status: word.status, reason: word.reason, message: word.message }], {
            now,
            generation: found.metadata.generation,
          })
    if (JSON.stringify(before) === JSON.stringify(next)) return
    await replaceStatus(client, resource, { ...found, status: { ...found.status, conditions: next } })
  }
}

const markOf = (word: Word | undefined): string | undefined => (word === undefined ? undefined : JSON.stringify(word))
