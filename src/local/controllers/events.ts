/**
 * Events for `kubectl describe` and `kubectl get events`: what happened to which object, repeated ones counted. They
 * are best effort: an event that cannot be written is dropped, because nothing may wait for it.
 */
import type { KubeClient } from '../../kube/client.ts'
import { EVENTS, type Event } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import type { Clock } from '../../runtime/clock.ts'

export interface EventFacts {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}

/** Distinct events whose repetition is remembered. */
const REMEMBERED_MAX = 512
/** Writes under way; beyond it events are dropped. */
const PENDING_MAX = 64

interface Remembered {
  readonly name: string
  count: number
  created: Promise<void>
}

export class EventRecorder {
  readonly #client: KubeClient
  readonly #clock: Clock
  readonly #component: string
  readonly #remembered = new Map<string, Remembered>()
  #pending = 0
  #sequence = 0

  constructor(options: { client: KubeClient; clock: Clock; component: string }) {
    this.#client = options.client
    this.#clock = options.clock
    this.#component = options.component
  }

  record(object: KubeObject, facts: EventFacts): void {
    if (this.#pending >= PENDING_MAX) return
    const key = [object.metadata.uid, facts.reason, facts.message].join('\0')
    const known = this.#remembered.get(key)
    this.#pending++
    const write = known === undefined ? this.#create(key, object, facts) : this.#count(known, object)
    void write.catch(() => {}).finally(() => this.#pending--)
  }

  async #create(key: string, object: KubeObject, facts: EventFacts): Promise<void> {
    const nowMs = this.#clock.now()
    const time = `${new Date(nowMs).toISOString().slice(0, 19)}Z`
    const { name = '', namespace, uid = '' } = object.metadata
    // Unique among this object's events, also after a restart.
    const suffix = (nowMs * 1000 + (this.#sequence++ % 1000)).toString(16)
    const event: Event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: `${name.slice(0, 230)}.${suffix}`, namespace: namespace ?? 'default' },
      involvedObject: {
        apiVersion: object.apiVersion,
        kind: object.kind,
        name,
        uid,
        ...(namespace === undefined ? {} : { namespace }),
      },
      ...facts,
      message: facts.message.slice(0, 1024),
      count: 1,
      firstTimestamp: time,
      lastTimestamp: time,
      source: { component: this.#component },
      reportingComponent: this.#component,
      reportingInstance: '',
    }
    const created = this.#client.create(EVENTS, event).then(() => {})
    this.#remember(key, { name: event.metadata.name ?? '', count: 1, created })
    await created
  }

  async #count(known: Remembered, object: KubeObject): Promise<void> {
    await known.created
    known.count++
    const time = `${new Date(this.#clock.now()).toISOString().slice(0, 19)}Z`
    const target = { name: known.name, namespace: object.metadata.namespace ?? 'default' }
    await this.#client.patch(EVENTS, target, { count: known.count, lastTimestamp: time }, { type: 'merge' })
  }

  #remember(key: string, event: Remembered): void {
    const oldest = this.#remembered.size >= REMEMBERED_MAX ? this.#remembered.keys().next().value : undefined
    if (oldest !== undefined) this.#remembered.delete(oldest)
    this.#remembered.set(key, event)
    event.created.catch(() => this.#remembered.delete(key))
  }
}
