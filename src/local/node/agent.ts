/**
 * The kubelets of all nodes in one: gives unscheduled pods a node, each pod an address and a worker, and follows
 * deletions to the final DELETE. It reacts to the shared caches; nothing here polls.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { KubeError, type KubeClient } from '../../kube/client.ts'
import { PODS, type ConfigMap, type Node, type Pod, type Secret } from '../../kube/kinds.ts'
import { resourcePath } from '../../kube/paths.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { nodeAddress, type AddressPlan } from '../cluster/address-plan.ts'
import { keyOf, type ReadCache } from '../cluster/cache.ts'
import type { PodNetwork } from '../cluster/namespaces.ts'
import { matchesPod, type Faults, type Hold } from '../cluster/faults.ts'
import { parseSelector } from '../cluster/label-selector.ts'
import type { EventRecorder } from '../controllers/events.ts'
import type { ContainerLog } from './container-log.ts'
import type { Images } from './images.ts'
import type { NodeContext } from './node-context.ts'
import { PodAddresses } from './pod-addresses.ts'
import { PodWorker } from './pod-worker.ts'
import type { ProcessTable } from './process-table.ts'
import { chooseNode, type Placement } from './scheduler.ts'

export interface NodeAgentOptions {
  /** Pods' directories lie here; those of pods that no longer exist are removed at the start. */
  readonly directory: string
  readonly plan: AddressPlan
  /** Namespaced plan only. */
  readonly network: PodNetwork | undefined
  /** In the order of the cluster's zones. */
  readonly nodeNames: readonly string[]
  readonly client: KubeClient
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly images: Images
  readonly processes: ProcessTable
  readonly events: EventRecorder
  readonly faults: Faults
  readonly environment: Readonly<Record<string, string>>
  readonly caches: {
    readonly pods: ReadCache<Pod>
    readonly nodes: ReadCache<Node>
    readonly configMaps: ReadCache<ConfigMap>
    readonly secrets: ReadCache<Secret>
  }
}

interface DeletingMeta {
  readonly deletionGracePeriodSeconds?: number
}

const GRACE_SECONDS_DEFAULT = 30
const RETRY_MS = 500

export class NodeAgent {
  readonly #options: NodeAgentOptions
  readonly #context: NodeContext
  readonly #addresses: PodAddresses
  /** By pod uid: a new pod may have the name of one that is still ending. */
  readonly #workers = new Map<string, PodWorker>()
  readonly #ending = new Map<string, Promise<void>>()
  /** Placements on their way to the server. */
  readonly #assumed = new Map<string, Placement>()
  readonly #unsubscribe: (() => void)[] = []
  #stopped = false

  constructor(options: NodeAgentOptions) {
    this.#options = options
    this.#addresses = new PodAddresses(options.plan)
    const { caches, faults } = options
    this.#context = {
      ...options,
      podDirectory: (pod) => join(options.directory, directoryName(pod)),
      sources: (namespace) => ({
        configMap: (name) => caches.configMaps.get(namespace, name),
        secret: (name) => caches.secrets.get(namespace, name),
      }),
      held: (pod) => faults.held(pod),
      frozen: (pod) => faults.frozen(pod),
    }
  }

  /** All caches must be synced. */
  start(): void {
    const { caches, images, faults, directory } = this.#options
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const known = new Set([...caches.pods.all()].map(directoryName))
    for (const name of readdirSync(directory)) {
      if (!known.has(name)) rmSync(join(directory, name), { recursive: true, force: true })
    }
    const recheckIn = (namespace: string | undefined): void => {
      for (const worker of this.#workers.values()) {
        if (worker.pod.metadata.namespace === namespace) worker.recheck()
      }
    }
    this.#unsubscribe.push(
      caches.pods.subscribe((_key, pod, before) => this.#seen(pod, before)),
      caches.nodes.subscribe(() => this.#schedulePending()),
      caches.configMaps.subscribe((_key, object, before) => recheckIn((object ?? before)?.metadata.namespace)),
      caches.secrets.subscribe((_key, object, before) => recheckIn((object ?? before)?.metadata.namespace)),
      images.onChange(() => this.#recheckAll()),
      faults.onChange(() => this.#recheckAll()),
    )
  }

  /** SIGKILL to every process of matching pods; answers their names. With `hold` they stay dead until healed. */
  killPods(target: Hold, hold: boolean): string[] {
    const matches = parseSelector(target.selector)
    if (hold) this.#options.faults.hold(target)
    const hit = [...this.#workers.values()].filter((worker) => matchesPod({ ...target, matches }, worker.pod))
    for (const worker of hit) worker.kill()
    return hit.map((worker) => worker.pod.metadata.name ?? '')
  }

  log(namespace: string, pod: string, container: string): ContainerLog | undefined {
    const workers = [...this.#workers.values()]
    const found = workers.findLast(({ pod: { metadata } }) => metadata.name === pod && metadata.namespace === namespace)
    return found?.log(container)
  }

  /** Ends every process and leaves the objects: the next start runs the same pods again. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    const workers = [...this.#workers.values()]
    for (const worker of workers) worker.freeze(false)
    await Promise.all(workers.map((worker) => worker.terminate(graceMs)))
  }

  #recheckAll(): void {
    for (const worker of this.#workers.values()) {
      worker.freeze(this.#options.faults.frozen(worker.pod))
      worker.recheck()
    }
  }

  #seen(pod: Pod | undefined, before: Pod | undefined): void {
    if (before !== undefined && before.metadata.uid !== pod?.metadata.uid) this.#vanished(before)
    if (pod === undefined || this.#stopped) return
    const worker = this.#workers.get(pod.metadata.uid ?? '')
    worker?.update(pod)
    if (pod.metadata.deletionTimestamp !== undefined) return this.#delete(pod)
    if (worker !== undefined || isOver(pod)) return
    if (pod.spec.nodeName === undefined || pod.spec.nodeName === '') void this.#schedule(pod)
    else this.#run(pod, pod.spec.nodeName)
  }

  #run(pod: Pod, nodeName: string): void {
    this.#assumed.delete(pod.metadata.uid ?? '')
    const { plan, nodeNames, events } = this.#options
    const zone = nodeNames.indexOf(nodeName)
    if (zone < 0) return
    const podIp = this.#addresses.take(zone, pod.status?.podIP)
    if (podIp === undefined) {
      events.record(pod, {
        type: 'Warning',
        reason: 'OutOfAddresses',
        message: `node ${nodeName} has no free pod address`,
      })
      this.#options.clock.after(RETRY_MS * 10, () => this.#retry(pod))
      return
    }
    const worker = new PodWorker(pod, { podIp, hostIp: nodeAddress(plan, zone) }, this.#context)
    this.#workers.set(pod.metadata.uid ?? '', worker)
    worker.start()
  }

  async #schedule(pod: Pod): Promise<void> {
    const { caches, client, events, clock } = this.#options
    const uid = pod.metadata.uid ?? ''
    const { name = '', namespace = '' } = pod.metadata
    if (this.#assumed.has(uid)) return
    const placed = [...caches.pods.all()].flatMap((each) =>
      each.spec.nodeName === undefined || isOver(each) ? [] : [{ pod: each, node: each.spec.nodeName }],
    )
    const choice = chooseNode(pod, [...caches.nodes.all()], [...placed, ...this.#assumed.values()])
    if ('reason' in choice) {
      events.record(pod, { type: 'Warning', reason: 'FailedScheduling', message: choice.reason })
      return
    }
    this.#assumed.set(uid, { pod, node: choice.node })
    try {
      const target = { apiVersion: 'v1', kind: 'Node', name: choice.node }
      const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace, uid }, target }
      await client.raw({ method: 'POST', path: resourcePath(PODS, { name, namespace, subresource: 'binding' }), body })
      const message = `Successfully assigned ${namespace}/${name} to ${choice.node}`
      events.record(pod, { type: 'Normal', reason: 'Scheduled', message })
    } catch (error) {
      this.#assumed.delete(uid)
      if (error instanceof KubeError && (error.code === 404 || error.code === 409)) return
      this.#options.log.warn({ err: error, pod: name, namespace }, 'a pod could not be bound to its node')
      clock.after(RETRY_MS, () => this.#retry(pod))
    }
  }

  #retry(pod: Pod): void {
    const present = this.#options.caches.pods.byKey(keyOf(pod))
    if (present?.metadata.uid === pod.metadata.uid) this.#seen(present, present)
  }

  #schedulePending(): void {
    for (const pod of this.#options.caches.pods.all()) {
      if ((pod.spec.nodeName ?? '') === '') this.#seen(pod, pod)
    }
  }

  /** Graceful end: processes first, then the object. */
  #delete(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    const { deletionGracePeriodSeconds } = pod.metadata as DeletingMeta
    const seconds = deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? GRACE_SECONDS_DEFAULT
    const worker = this.#workers.get(uid)
    if (this.#ending.has(uid)) {
      // A second DELETE with --force: no more waiting.
      if (seconds === 0) void worker?.terminate(0)
      return
    }
    const end = this.#end(uid, seconds * 1000)
      .then(() => this.#removeObject(pod))
      .finally(() => this.#ending.delete(uid))
    this.#ending.set(uid, end)
  }

  async #removeObject(pod: Pod): Promise<void> {
    const { client, clock, log } = this.#options
    const { name = '', namespace = '', uid = '' } = pod.metadata
    try {
      await client.remove(PODS, { name, namespace }, { gracePeriodSeconds: 0, uid })
    } catch (error) {
      if (this.#stopped || (error instanceof KubeError && error.code === 409)) return
      log.warn({ err: error, pod: name, namespace }, 'a terminated pod could not be removed; trying again')
      clock.after(RETRY_MS, () => void this.#removeObject(pod))
    }
  }

  /** The object went without waiting (`--force`, or its namespace was lost). */
  #vanished(pod: Pod): void {
    const uid = pod.metadata.uid ?? ''
    this.#assumed.delete(uid)
    if (this.#ending.has(uid)) void this.#workers.get(uid)?.terminate(0)
    else void this.#end(uid, 0)
  }

  async #end(uid: string, graceMs: number): Promise<void> {
    const worker = this.#workers.get(uid)
    if (worker === undefined) return
    await worker.terminate(graceMs)
    worker.remove()
    await this.#context.network?.detach(worker.address.podIp).catch((error: unknown) => {
      this.#options.log.warn({ err: error }, "a pod's network namespace could not be removed")
    })
    this.#workers.delete(uid)
    this.#addresses.release(worker.address.podIp)
  }
}

function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

/** Short, because programs put unix sockets into volumes and their paths are limited to 107 bytes. */
function directoryName(pod: Pod): string {
  return (pod.metadata.uid ?? '').replaceAll('-', '').slice(0, 12)
}
