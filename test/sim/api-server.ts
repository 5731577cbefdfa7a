/**
 * One cluster's API server, and a client of it per process: requests and answers take time, answers get lost, a server
 * that is away refuses, one that lost its caches lists half of what it has. The storage is the tests' MemoryClient.
 */
import type { KubeList, KubeObject, Resource, WatchEvent } from '../../src/kube/object.ts'
import {
  KubeError,
  type KubeClient,
  type ListOptions,
  type PatchOptions,
  type RawRequest,
  type RemoveOptions,
  type WriteOptions,
} from '../../src/kube/client.ts'
import { MemoryClient } from '../../src/kube/testing/memory-client.ts'
import type { Random } from '../../src/runtime/random.ts'
import { Process, type SimTime } from './time.ts'

/** A write as it was sent; `epoch` is the sender's belief. */
export interface SentWrite {
  readonly process: string
  readonly epoch: number
  readonly at: number
}

export class ApiServer {
  readonly time: SimTime
  readonly random: Random
  readonly clock: Process
  readonly store: MemoryClient
  /** No request is answered, and watches have ended. */
  away = false
  /** Lists leave out objects, as a server does that has just lost its data's caches. */
  forgets = false
  /** Share of answers that never come back although the server did what was asked. */
  answersLost = 0
  onWrite: (write: SentWrite) => void = () => {}

  constructor(time: SimTime, random: Random, cluster: string) {
    this.time = time
    this.random = random
    this.clock = new Process(time, `${cluster}/api-server`)
    this.store = new MemoryClient({ clock: this.clock })
  }

  goAway(): void {
    this.away = true
    this.store.dropWatches(new KubeError(0, 'Unreachable', 'connection reset'))
  }

  /** As after a restart that lost its history: every watch starts over with a list. */
  restart(): void {
    this.store.compact()
    this.store.dropWatches(new KubeError(410, 'Expired', 'too old resource version'))
  }
}

const REQUEST_MS = 2
const SLOW_MS = 30

export class SimClient implements KubeClient {
  readonly #server: ApiServer
  readonly #process: Process
  readonly #epoch: () => number

  constructor(server: ApiServer, process: Process, epoch: () => number) {
    this.#server = server
    this.#process = process
    this.#epoch = epoch
  }

  get<T extends KubeObject>(resource: Resource<T>, name: string, namespace?: string): Promise<T | undefined> {
    return this.#ask(() => this.#server.store.get(resource, name, namespace))
  }

  async list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<KubeList<T>> {
    const { forgets } = this.#server
    const list = await this.#ask(() => this.#server.store.list(resource, options))
    return forgets ? { ...list, items: list.items.slice(0, Math.floor(list.items.length / 3)) } : list
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T> {
    this.#tell(options)
    return this.#ask(() => this.#server.store.create(resource, object, options))
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T> {
    this.#tell(options)
    return this.#ask(() => this.#server.store.replace(resource, object, options))
  }

  patch<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    return this.#ask(() => this.#server.store.patch(resource, target, patch, options))
  }

  remove<T extends KubeObject>(
    resource: Resource<T>,
    target: { name: string; namespace?: string },
    options?: RemoveOptions,
  ): Promise<boolean> {
    this.#tell({ fieldManager: 'isthmus-federation' })
    return this.#ask(() => this.#server.store.remove(resource, target, options))
  }

  async watch<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions & { resourceVersion: string; timeoutSeconds: number; signal: AbortSignal },
    onEvent: (event: WatchEvent<T>) => void,
  ): Promise<void> {
    await this.#trip()
    if (this.#server.away) throw unreachable()
    let readyAt = 0
    const { time } = this.#server
    await this.#server.store.watch(resource, options, (event) => {
      // Events keep their order, whatever each takes.
      readyAt = Math.max(readyAt, time.now + this.#delay())
      const hand = (): void => (options.signal.aborted ? undefined : onEvent(event))
      time.after(readyAt - time.now, hand, this.#process)
    })
  }

  raw<R>(request: RawRequest): Promise<R> {
    return this.#ask(() => this.#server.store.raw<R>(request))
  }

  close(): void {}

  #tell(options: WriteOptions | undefined): void {
    if (options?.fieldManager !== 'isthmus-federation') return
    this.#server.onWrite({ process: this.#process.name, epoch: this.#epoch(), at: this.#server.time.now })
  }

  /** There, done, and back. What is under way when the process dies or is stopped is done all the same. */
  async #ask<R>(run: () => Promise<R>): Promise<R> {
    const { time, random } = this.#server
    return await new Promise<R>((resolve, reject) => {
      time.after(this.#delay(), () => {
        if (this.#server.away) return this.#answer(() => reject(unreachable()))
        const lost = random.next() < this.#server.answersLost
        run().then(
          (value) => this.#answer(() => (lost ? reject(unreachable()) : resolve(value))),
          (error: unknown) => this.#answer(() => reject(error instanceof Error ? error : unreachable())),
        )
      })
    })
  }

  #answer(run: () => void): void {
    this.#server.time.after(this.#delay(), run, this.#process)
  }

  #trip(): Promise<void> {
    return new Promise((resolve) => this.#answer(resolve))
  }

  #delay(): number {
    const { random } = this.#server
    return random.next() < 0.02 ? SLOW_MS * random.next() : REQUEST_MS * random.next()
  }
}

const unreachable = (): KubeError => new KubeError(0, 'Unreachable', 'connection reset')
