/**
 * One pod, from its volumes to its last process: init containers in order, then the containers, the status after every
 * change, and at the end graceful termination. It acts on the object it is given and never looks at others: scheduling
 * and deletion are the agent's.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Container, ContainerStatus, Pod, PodSpec } from '../../kube/kinds.ts'
import { delay } from '../../runtime/clock.ts'
import { ContainerLog } from './container-log.ts'
import { ContainerRunner, rfc3339, type Launch } from './container-runner.ts'
import { expand, resolveEnvironment, type Sources } from './environment.ts'
import { unknownImageMessage } from './images.ts'
import type { NodeContext } from './node-context.ts'
import { isSidecar, podStatus } from './pod-status.ts'
import { PodVolumes } from './pod-volumes.ts'
import { Signal } from './signal.ts'
import { StatusWriter } from './status-writer.ts'
import { linkMounts } from './volumes.ts'

export interface PodAddress {
  readonly podIp: string
  readonly hostIp: string
}

export class PodWorker {
  readonly address: PodAddress
  readonly #context: NodeContext
  readonly #directory: string
  readonly #runners = new Map<string, ContainerRunner>()
  readonly #logs = new Map<string, ContainerLog>()
  readonly #volumes: PodVolumes
  readonly #writer: StatusWriter
  readonly #stopping = new AbortController()
  readonly #changed = new Signal()
  readonly #startTime: string
  readonly #restarts: ReadonlyMap<string, number>
  #pod: Pod
  readonly #spec: PodSpec
  #initialized = false
  #frozen = false
  #ended: Promise<void> | undefined
  #writing: Promise<string | undefined> = Promise.resolve(undefined)

  constructor(pod: Pod, address: PodAddress, context: NodeContext) {
    this.#pod = pod
    this.address = address
    this.#context = context
    this.#directory = context.podDirectory(pod)
    this.#startTime = pod.status?.startTime ?? rfc3339(context.clock.now())
    this.#restarts = restartsOf(pod)
    this.#spec = pod.spec
    this.#writer = new StatusWriter(context, pod)
    this.#volumes = new PodVolumes({
      directory: join(this.#directory, 'volumes'),
      client: context.client,
      clock: context.clock,
      onDue: () => this.recheck(),
    })
  }

  get pod(): Pod {
    return this.#pod
  }

  /** Resolves when there is nothing more to run. */
  start(): void {
    this.#frozen = this.#context.frozen(this.#pod)
    void this.#run().catch((error: unknown) => {
      this.#context.log.error({ err: error, pod: this.#pod.metadata.name }, 'a pod worker failed')
    })
  }

  update(pod: Pod): void {
    this.#pod = pod
    this.#writer.seen(pod)
  }

  /** A ConfigMap, Secret, image, fault or token changed. */
  recheck(): void {
    this.#changed.fire()
    for (const runner of this.#runners.values()) runner.recheck()
    if (this.#initialized && !this.#stopping.signal.aborted) void this.#refreshVolumes()
  }

  kill(): void {
    for (const runner of this.#runners.values()) runner.kill()
  }

  freeze(frozen: boolean): void {
    if (this.#frozen === frozen) return
    this.#frozen = frozen
    for (const runner of this.#runners.values()) runner.freeze(frozen)
  }

  log(container: string): ContainerLog | undefined {
    return this.#logs.get(container)
  }

  /** Ends every process; resolves when all are gone. A shorter grace than before only shortens. */
  async terminate(graceMs: number): Promise<void> {
    if (this.#ended !== undefined && graceMs > 0) return this.#ended
    if (this.#ended !== undefined) this.kill()
    this.#ended ??= this.#terminate(graceMs)
    return this.#ended
  }

  /** After `terminate`: the pod's directory, logs and volumes go. */
  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #terminate(graceMs: number): Promise<void> {
    this.#stopping.abort()
    this.#volumes.close()
    const deadlineMs = this.#context.clock.monotonic() + graceMs
    const remaining = (): number => Math.max(0, deadlineMs - this.#context.clock.monotonic())
    const all = [...this.#runners.values()]
    const sidecars = new Set((this.#spec.initContainers ?? []).filter(isSidecar).map((each) => each.name))
    await Promise.all(all.filter((each) => !sidecars.has(each.name)).map((each) => each.stop(graceMs)))
    // Sidecars serve the containers to the end, and leave in the reverse order of their start.
    for (const runner of all.filter((each) => sidecars.has(each.name)).reverse()) await runner.stop(remaining())
    await this.#writer.close()
  }

  async #run(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    if (this.#restarts.size > 0) this.#report()
    if (!(await this.#attach())) return
    if (!(await this.#mount())) return
    for (const container of this.#spec.initContainers ?? []) {
      if (!(await this.#init(container))) return
    }
    this.#initialized = true
    const runners = this.#spec.containers.map((container) => this.#runner(container, this.#restartPolicy))
    this.#report()
    for (const runner of runners) runner.start()
    await Promise.all(runners.map((runner) => runner.done))
    if (this.#stopping.signal.aborted) return
    for (const container of (this.#spec.initContainers ?? []).filter(isSidecar).reverse()) {
      await this.#runners.get(container.name)?.stop(SIDECAR_GRACE_MS)
    }
    this.#report()
  }

  get #restartPolicy(): 'Always' | 'OnFailure' | 'Never' {
    return this.#pod.spec.restartPolicy ?? 'Always'
  }

  /** Gives the pod its network namespace, where the plan has them; false when the pod is being stopped. */
  async #attach(): Promise<boolean> {
    const { signal } = this.#stopping
    const { network, clock } = this.#context
    if (network === undefined) return true
    while (!signal.aborted) {
      try {
        await network.attach(this.address.podIp, this.#namespace)
        break
      } catch (error) {
        this.#event('Warning', 'FailedCreatePodSandBox', error instanceof Error ? error.message : String(error))
        await delay(clock, ATTACH_RETRY_MS, signal)
      }
    }
    return !signal.aborted
  }

  /** Waits until every volume is in place; false when the pod is being stopped. */
  async #mount(): Promise<boolean> {
    const { signal } = this.#stopping
    let said: string | undefined
    while (!signal.aborted) {
      const again = this.#changed.wait(signal)
      const problem = await this.#writeVolumes()
      if (problem === undefined) return true
      if (problem !== said) this.#event('Warning', 'FailedMount', problem)
      said = problem
      this.#writer.write(this.#waitingStatus())
      await again
    }
    return false
  }

  async #refreshVolumes(): Promise<void> {
    const problem = await this.#writeVolumes()
    if (problem !== undefined) this.#event('Warning', 'FailedMount', problem)
  }

  /** One at a time: two payloads must not race for the same link. */
  #writeVolumes(): Promise<string | undefined> {
    const next = this.#writing.then(() => this.#writeVolumesNow())
    this.#writing = next
    return next
  }

  async #writeVolumesNow(): Promise<string | undefined> {
    try {
      return await this.#volumes.write(this.#podWithAddress(), this.#spec.volumes ?? [], this.#sources)
    } catch (error) {
      return `the pod's volumes cannot be written: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  /** Runs one init container to its end, or a sidecar until it has started. */
  async #init(container: Container): Promise<boolean> {
    const { signal } = this.#stopping
    const sidecar = isSidecar(container)
    const policy = sidecar ? 'Always' : this.#restartPolicy === 'Never' ? 'Never' : 'OnFailure'
    const runner = this.#runner(container, policy)
    this.#report()
    runner.start()
    if (!sidecar) {
      await runner.done
      return !signal.aborted && runner.status().state?.terminated?.exitCode === 0
    }
    while (!signal.aborted && runner.status().started !== true) await this.#changed.wait(signal)
    return !signal.aborted
  }

  #runner(container: Container, restartPolicy: 'Always' | 'OnFailure' | 'Never'): ContainerRunner {
    const { clock, random, processes } = this.#context
    const log = new ContainerLog(join(this.#directory, 'logs', container.name), clock)
    this.#logs.set(container.name, log)
    const runner = new ContainerRunner({
      container,
      podIp: this.address.podIp,
      restartPolicy,
      restartCount: this.#restarts.get(container.name) ?? 0,
      clock,
      random,
      processes,
      log,
      prepare: () => this.#prepare(container),
      held: () => this.#context.held(this.#pod),
      onChange: () => {
        this.#changed.fire()
        this.#report()
      },
      onEvent: (type, reason, message) => this.#event(type, reason, message),
    })
    if (this.#frozen) runner.freeze(true)
    this.#runners.set(container.name, runner)
    return runner
  }

  #prepare(container: Container): Launch {
    const image = container.image ?? ''
    const found = this.#context.images.resolve(image)
    if (found === undefined) return { kind: 'wait', reason: 'ErrImagePull', message: unknownImageMessage(image) }
    const root = join(this.#directory, 'root', container.name)
    const base = {
      ...this.#context.environment,
      HOST: this.address.podIp,
      HOSTNAME: this.#pod.metadata.name ?? '',
      ISTHMUS_MOUNT_ROOT: root,
    }
    const environment = resolveEnvironment(container, this.#podWithAddress(), this.#sources, base)
    if ('missing' in environment) {
      return { kind: 'wait', reason: 'CreateContainerConfigError', message: environment.missing }
    }
    linkMounts(root, container.volumeMounts ?? [], (name) => this.#volumes.path(name))
    const { values } = environment
    const entry = container.command ?? found.command
    const command = [...entry, ...(container.args ?? [])].map((word) => expand(word, values))
    const group = container.securityContext?.runAsGroup ?? this.#spec.securityContext?.runAsGroup
    const enter = this.#context.network?.enter(this.address.podIp, group) ?? []
    return { kind: 'run', enter, command, cwd: found.cwd ?? root, env: values }
  }

  #report(): void {
    if (this.#stopping.signal.aborted && this.#runners.size === 0) return
    this.#writer.write(podStatus(this.#pod, this.#facts()))
  }

  /** Before the first container exists there is an address and the reason to wait. */
  #waitingStatus(): ReturnType<typeof podStatus> {
    return podStatus(this.#pod, this.#facts())
  }

  #facts(): Parameters<typeof podStatus>[1] {
    const { clock } = this.#context
    const init = this.#spec.initContainers ?? []
    return {
      podIp: this.address.podIp,
      hostIp: this.address.hostIp,
      startTime: this.#startTime,
      now: rfc3339(clock.now()),
      initialized: this.#initialized || init.length === 0,
      init: init.map((each) => this.#statusOf(each)),
      containers: this.#spec.containers.map((each) => this.#statusOf(each)),
      sidecars: new Set(init.filter(isSidecar).map((each) => each.name)),
    }
  }

  #statusOf(container: Container): ContainerStatus {
    const runner = this.#runners.get(container.name)
    if (runner !== undefined) return runner.status()
    const waitsForInit = (this.#spec.initContainers ?? []).length > 0 && !this.#initialized
    const image = container.image ?? ''
    return {
      name: container.name,
      image,
      imageID: '',
      ready: false,
      started: false,
      restartCount: this.#restarts.get(container.name) ?? 0,
      state: { waiting: { reason: waitsForInit ? 'PodInitializing' : 'ContainerCreating' } },
      lastState: {},
    }
  }

  /** Field references must see the address even before the server's object has it. */
  #podWithAddress(): Pod {
    const { podIp, hostIp } = this.address
    const status = {
      ...this.#pod.status,
      podIP: podIp,
      podIPs: [{ ip: podIp }],
      hostIP: hostIp,
      hostIPs: [{ ip: hostIp }],
    }
    return { ...this.#pod, status }
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#context.events.record(this.#pod, { type, reason, message })
  }

  get #namespace(): string {
    return this.#pod.metadata.namespace ?? ''
  }

  get #sources(): Sources {
    return this.#context.sources(this.#namespace)
  }
}

const ATTACH_RETRY_MS = 2_000

/** For sidecars of a pod whose containers are complete. */
const SIDECAR_GRACE_MS = 5_000

/** A pod that ran before the cluster process stopped has been restarted once more. */
function restartsOf(pod: Pod): ReadonlyMap<string, number> {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]
  const ran = statuses.filter((status) => status.state?.waiting?.reason !== 'ContainerCreating')
  return new Map(
    ran.map((status) => [status.name, status.restartCount + (status.state?.waiting === undefined ? 1 : 0)]),
  )
}
