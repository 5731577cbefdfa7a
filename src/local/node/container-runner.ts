/**
 * One container as a process: waits for its image and configuration, starts it, probes it, restarts it by the pod's
 * policy with back-off, stops it. Its state is what `status()` says and nothing else; the pod worker turns states into
 * the pod's status. Faults hold it (no start) or freeze it (SIGSTOP) from outside.
 */
import type { Container, ContainerState, ContainerStatus, Probe } from '../../kube/kinds.ts'
import { Backoff } from '../../runtime/backoff.ts'
import { delay, type Clock } from '../../runtime/clock.ts'
import type { Random } from '../../runtime/random.ts'
import type { ContainerLog } from './container-log.ts'
import { ProbeLoop, probeExec, runProbe, type ProbeResult } from './probe.ts'
import { signalNumber, type Child, type ChildExit, type ProcessTable } from './process-table.ts'
import { Signal } from './signal.ts'

/** What to run; or why not yet, as the reason and message of `waiting`. */
export type Launch =
  | {
      readonly kind: 'run'
      /** Before every command of the pod: the way into its network namespace, if it has one. */
      readonly enter: readonly string[]
      readonly command: readonly string[]
      readonly cwd: string
      readonly env: Record<string, string>
    }
  | { readonly kind: 'wait'; readonly reason: string; readonly message: string }

export interface ContainerRunnerOptions {
  readonly container: Container
  readonly podIp: string
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never'
  /** From the status that an earlier run of the cluster left. */
  readonly restartCount: number
  readonly clock: Clock
  readonly random: Random
  readonly processes: ProcessTable
  readonly log: ContainerLog
  readonly prepare: () => Launch
  /** Reason to hold the start back (a fault), or undefined. */
  readonly held: () => string | undefined
  readonly onChange: () => void
  readonly onEvent: (type: 'Normal' | 'Warning', reason: string, message: string) => void
}

type ProbeName = 'Readiness' | 'Liveness' | 'Startup'

/** The kubelet starts at 10 s; here a first crash is often a race at start-up, and people watch. */
const BACKOFF_INITIAL_MS = 500
const BACKOFF_MAX_MS = 30_000
/** A run this long ends the back-off (kubelet: 10 min). */
const STABLE_RUN_MS = 60_000

export class ContainerRunner {
  readonly #options: ContainerRunnerOptions
  readonly #stopping = new AbortController()
  readonly #recheck = new Signal()
  readonly #backoff: Backoff
  readonly #probes = new Map<ProbeName, ProbeLoop>()
  #child: Child | undefined
  #launch: Extract<Launch, { kind: 'run' }> | undefined
  #state: ContainerState = { waiting: { reason: 'ContainerCreating' } }
  #lastState: ContainerState = {}
  #restartCount: number
  #started = false
  #ready = false
  #frozen = false
  #done: Promise<void> = Promise.resolve()

  constructor(options: ContainerRunnerOptions) {
    this.#options = options
    this.#restartCount = options.restartCount
    const { random } = options
    this.#backoff = new Backoff({ initialMs: BACKOFF_INITIAL_MS, maxMs: BACKOFF_MAX_MS, random })
  }

  get name(): string {
    return this.#options.container.name
  }

  /** Runs until the container is complete or stopped. */
  start(): void {
    this.#done = this.#loop()
  }

  /** Resolves when it will run no more: complete by its restart policy, or stopped. */
  get done(): Promise<void> {
    return this.#done
  }

  status(): ContainerStatus {
    const { container } = this.#options
    const image = container.image ?? ''
    const status: ContainerStatus = {
      name: container.name,
      image,
      imageID: image,
      ready: this.#ready,
      started: this.#started,
      restartCount: this.#restartCount,
      state: this.#state,
      lastState: this.#lastState,
    }
    if (this.#child !== undefined) status.containerID = `process://${this.#child.pid}`
    return status
  }

  /** An image, ConfigMap, Secret or fault changed: a waiting container tries again. */
  recheck(): void {
    this.#recheck.fire()
  }

  /** A fault: the process is gone as if the machine had lost it. */
  kill(): void {
    this.#child?.signal('SIGKILL')
  }

  /** SIGSTOP and SIGCONT; a frozen container is neither probed nor judged. */
  freeze(frozen: boolean): void {
    this.#frozen = frozen
    for (const loop of this.#probes.values()) loop.pause(frozen)
    this.#child?.signal(frozen ? 'SIGSTOP' : 'SIGCONT')
  }

  /** preStop, SIGTERM, and SIGKILL when `graceMs` is over. Resolves when the process is gone. */
  async stop(graceMs: number): Promise<void> {
    if (this.#stopping.signal.aborted) return this.#done
    this.#stopping.abort()
    this.#stopProbes()
    this.#setReady(false)
    const cancel = this.#options.clock.after(graceMs, () => this.#child?.signal('SIGKILL'))
    if (graceMs > 0 && !this.#frozen) await this.#preStop(graceMs)
    this.#child?.signal('SIGTERM')
    await this.#done
    cancel()
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping
    for (let run = 0; ; run++) {
      const launch = await this.#launchable()
      if (launch === undefined) break
      if (run > 0) this.#restartCount++
      const { exit, ranMs } = await this.#run(launch)
      if (signal.aborted || !this.#restarts(exit)) return
      if (ranMs > STABLE_RUN_MS) this.#backoff.reset()
      await this.#backOff()
      if (signal.aborted) return
    }
    this.#set({ terminated: this.#neverRan() })
  }

  /** Waits until nothing holds the start back; undefined when stopped first. */
  async #launchable(): Promise<Extract<Launch, { kind: 'run' }> | undefined> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const held = this.#options.held()
      const launch: Launch =
        held === undefined ? this.#options.prepare() : { kind: 'wait', reason: 'HeldByFault', message: held }
      if (launch.kind === 'run') return launch
      this.#wait(launch)
      const again = this.#recheck.wait(signal)
      const fresh = this.#state.waiting?.reason === 'ErrImagePull'
      await (fresh ? Promise.race([again, delay(this.#options.clock, PULL_BACK_OFF_MS, signal)]) : again)
    }
    return undefined
  }

  #wait(launch: Extract<Launch, { kind: 'wait' }>): void {
    const { reason, message } = launch
    const present = this.#state.waiting
    // The kubelet shows the failed pull first, then that it backs off; both name the way out.
    const again = reason === 'ErrImagePull' && (present?.reason === reason || present?.reason === 'ImagePullBackOff')
    const shown = again ? 'ImagePullBackOff' : reason
    if (present?.reason === shown && present.message === message) return
    this.#set({ waiting: { reason: shown, message } })
    if (!again && reason !== 'HeldByFault') this.#options.onEvent('Warning', EVENT_REASONS[reason] ?? reason, message)
  }

  async #run(launch: Extract<Launch, { kind: 'run' }>): Promise<{ exit: ChildExit; ranMs: number }> {
    const { clock, log, processes, container, onEvent } = this.#options
    const startedAt = rfc3339(clock.now())
    const startedMs = clock.monotonic()
    log.begin(this.#restartCount)
    const exit = await new Promise<ChildExit>((resolve) => {
      this.#launch = launch
      this.#child = processes.spawn({
        ...launch,
        command: [...launch.enter, ...launch.command],
        onOutput: (stream, chunk) => log.write(stream, chunk),
        onExit: resolve,
      })
      if (this.#child === undefined) return
      if (this.#frozen) this.#child.signal('SIGSTOP')
      // Stopped between the decision to start and the start.
      if (this.#stopping.signal.aborted) this.#child.signal('SIGTERM')
      this.#set({ running: { startedAt } })
      onEvent('Normal', 'Started', `Started container ${container.name}`)
      this.#startProbes()
    })
    this.#child = undefined
    this.#stopProbes()
    log.end()
    this.#started = false
    this.#ready = false
    if (exit.error !== undefined) onEvent('Warning', 'Failed', `Error: ${exit.error}`)
    this.#set({ terminated: terminated(exit, startedAt, rfc3339(clock.now())) })
    return { exit, ranMs: clock.monotonic() - startedMs }
  }

  async #backOff(): Promise<void> {
    const { clock, container, onEvent } = this.#options
    this.#lastState = this.#state
    const delayMs = this.#backoff.next()
    const message = `back-off ${(delayMs / 1000).toFixed(1)}s restarting failed container=${container.name}`
    this.#set({ waiting: { reason: 'CrashLoopBackOff', message } })
    onEvent('Warning', 'BackOff', `Back-off restarting failed container ${container.name}`)
    await delay(clock, delayMs, this.#stopping.signal)
  }

  #restarts(exit: ChildExit): boolean {
    const { restartPolicy } = this.#options
    return restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exit.code !== 0)
  }

  #startProbes(): void {
    const { container } = this.#options
    if (container.startupProbe !== undefined) {
      this.#probe('Startup', container.startupProbe, (verdict) => {
        if (!verdict.ok) return this.#unhealthy('Startup', verdict)
        this.#probes.get('Startup')?.stop()
        this.#probes.delete('Startup')
        this.#whenStarted()
      })
      return
    }
    this.#whenStarted()
  }

  /** Readiness and liveness are asked only once the startup probe has passed. */
  #whenStarted(): void {
    const { container } = this.#options
    this.#started = true
    if (container.livenessProbe !== undefined) {
      this.#probe('Liveness', container.livenessProbe, (verdict) => {
        if (!verdict.ok) this.#unhealthy('Liveness', verdict)
      })
    }
    if (container.readinessProbe === undefined) {
      this.#ready = true
    } else {
      this.#probe('Readiness', container.readinessProbe, (verdict) => {
        if (!verdict.ok) {
          this.#options.onEvent('Warning', 'Unhealthy', `Readiness probe failed: ${verdict.message}`)
        }
        this.#setReady(verdict.ok)
      })
    }
    this.#options.onChange()
  }

  #probe(name: ProbeName, probe: Probe, onVerdict: (verdict: ProbeResult) => void): void {
    const { clock, container, podIp } = this.#options
    const target = {
      podIp,
      ports: container.ports,
      enter: this.#launch?.enter ?? [],
      cwd: this.#launch?.cwd ?? '/',
      env: this.#launch?.env ?? {},
    }
    const loop = new ProbeLoop({ probe, clock, ask: () => runProbe(probe, target), onVerdict })
    loop.pause(this.#frozen)
    this.#probes.set(name, loop)
  }

  #unhealthy(name: ProbeName, verdict: ProbeResult): void {
    const { container, onEvent } = this.#options
    onEvent('Warning', 'Unhealthy', `${name} probe failed: ${verdict.message}`)
    onEvent('Normal', 'Killing', `Container ${container.name} failed ${name.toLowerCase()} probe, will be restarted`)
    this.#stopProbes()
    const child = this.#child
    child?.signal('SIGTERM')
    this.#options.clock.after(UNHEALTHY_GRACE_MS, () => child?.signal('SIGKILL'))
  }

  #stopProbes(): void {
    for (const loop of this.#probes.values()) loop.stop()
    this.#probes.clear()
  }

  async #preStop(graceMs: number): Promise<void> {
    const hook = this.#options.container.lifecycle?.preStop
    if (hook === undefined || this.#child === undefined) return
    if (hook.sleep !== undefined) await delay(this.#options.clock, Math.min(hook.sleep.seconds * 1000, graceMs))
    else if (hook.exec?.command !== undefined && this.#launch !== undefined) {
      await probeExec(hook.exec.command, this.#launch, graceMs)
    }
  }

  #neverRan(): NonNullable<ContainerState['terminated']> {
    const now = rfc3339(this.#options.clock.now())
    return (
      this.#state.terminated ?? { exitCode: 137, reason: 'ContainerStatusUnknown', startedAt: now, finishedAt: now }
    )
  }

  #setReady(ready: boolean): void {
    if (this.#ready === ready) return
    this.#ready = ready
    this.#options.onChange()
  }

  #set(state: ContainerState): void {
    if (state.running !== undefined && this.#state.terminated !== undefined) this.#lastState = this.#state
    this.#state = state
    this.#options.onChange()
  }
}

/** How long a failed pull is shown as such before it becomes a back-off, as the kubelet shows it. */
const PULL_BACK_OFF_MS = 5_000

/** Between a failed liveness probe's SIGTERM and SIGKILL. */
const UNHEALTHY_GRACE_MS = 5_000

const EVENT_REASONS: Readonly<Record<string, string>> = {
  ErrImagePull: 'Failed',
  CreateContainerConfigError: 'Failed',
}

function terminated(exit: ChildExit, startedAt: string, finishedAt: string): NonNullable<ContainerState['terminated']> {
  const reason = exit.error !== undefined ? 'StartError' : exit.code === 0 ? 'Completed' : 'Error'
  const state: NonNullable<ContainerState['terminated']> = { exitCode: exit.code, reason, startedAt, finishedAt }
  if (exit.signal !== undefined) state.signal = signalNumber(exit.signal)
  if (exit.error !== undefined) state.message = exit.error
  return state
}

/** metav1.Time: whole seconds. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
