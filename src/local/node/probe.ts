/**
 * Liveness, readiness and startup probes. `runProbe` asks once; `ProbeLoop` asks on the probe's period and reports
 * when the verdict turns. One deviation from the kubelet: until the first success it also asks in between, so that a
 * pod is ready when it is ready and not up to a period later; those questions never count as failures.
 */
import { spawn } from 'node:child_process'
import type { Container, Probe } from '../../kube/kinds.ts'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import { probeGrpc, probeHttp, type ProbeResult, probeTcp } from '../../runtime/probe.ts'

export type { ProbeResult }

export interface ProbeTarget {
  readonly podIp: string
  readonly ports: Container['ports']
  readonly enter: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

const OK: ProbeResult = { ok: true, message: '' }
const EXEC_OUTPUT_BYTES_MAX = 4_096

/** Between the kubelet's periods, until the first success. */
const EAGER_PERIOD_MS = 250

export function runProbe(probe: Probe, target: ProbeTarget): Promise<ProbeResult> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
  if (probe.httpGet !== undefined) return probeHttpGet(probe.httpGet, target, timeoutMs)
  if (probe.tcpSocket !== undefined) {
    const port = portNumber(probe.tcpSocket.port, target)
    return probeTcp(probe.tcpSocket.host ?? target.podIp, port, timeoutMs)
  }
  if (probe.exec !== undefined) return probeExec(probe.exec.command ?? [], target, timeoutMs)
  if (probe.grpc !== undefined) {
    const { port, service = '' } = probe.grpc
    return probeGrpc({ host: target.podIp, port, service }, timeoutMs)
  }
  return Promise.resolve({ ok: false, message: 'a probe asks by httpGet, tcpSocket, grpc or exec' })
}

function probeHttpGet(get: NonNullable<Probe['httpGet']>, target: ProbeTarget, ms: number): Promise<ProbeResult> {
  const headers = Object.fromEntries((get.httpHeaders ?? []).map(({ name, value }) => [name.toLowerCase(), value]))
  const { host = target.podIp, path = '/', scheme = 'HTTP' } = get
  return probeHttp({ host, port: portNumber(get.port, target), path, scheme, headers }, ms)
}

/** Also runs preStop hooks: the same command in the same environment. */
export function probeExec(
  command: readonly string[],
  target: Pick<ProbeTarget, 'enter' | 'cwd' | 'env'>,
  timeoutMs: number,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const [file = '', ...args] = [...target.enter, ...command]
    const child = spawn(file, args, {
      cwd: target.cwd,
      env: target.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    let output = ''
    const collect = (chunk: Buffer): void => {
      if (output.length < EXEC_OUTPUT_BYTES_MAX) output += chunk.toString('utf8')
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.once('error', (error) => resolve({ ok: false, message: error.message }))
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(OK)
      else resolve({ ok: false, message: signal === null ? output.trim() || `exit code ${code}` : 'command timed out' })
    })
  })
}

function portNumber(port: number | string, target: ProbeTarget): number {
  if (typeof port === 'number') return port
  return target.ports?.find((each) => each.name === port)?.containerPort ?? Number(port)
}

export interface ProbeLoopOptions {
  readonly probe: Probe
  readonly clock: Clock
  /** Asks once. */
  readonly ask: () => Promise<ProbeResult>
  /** The verdict turned, or (`ok: false`) failed anew after `failureThreshold` more questions. */
  readonly onVerdict: (verdict: ProbeResult) => void
}

/** Runs until stopped; while paused (its process is stopped by a fault) it asks nothing and changes nothing. */
export class ProbeLoop {
  readonly #options: ProbeLoopOptions
  #verdict: boolean | undefined
  #successes = 0
  #failures = 0
  #stopped = false
  #paused = false
  #cancel: Cancel = () => {}
  #dueMs: number

  constructor(options: ProbeLoopOptions) {
    this.#options = options
    const initialMs = (options.probe.initialDelaySeconds ?? 0) * 1000
    // The first failure counts after a whole period: a program that is being started has not failed.
    this.#dueMs = options.clock.monotonic() + initialMs + (options.probe.periodSeconds ?? 10) * 1000
    this.#schedule(initialMs)
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  pause(paused: boolean): void {
    this.#paused = paused
  }

  #schedule(delayMs: number): void {
    if (!this.#stopped) this.#cancel = this.#options.clock.after(delayMs, () => void this.#turn())
  }

  async #turn(): Promise<void> {
    const { clock, probe } = this.#options
    const periodMs = (probe.periodSeconds ?? 10) * 1000
    if (this.#paused) {
      this.#schedule(EAGER_PERIOD_MS)
      return
    }
    const counts = clock.monotonic() >= this.#dueMs
    if (counts) this.#dueMs = clock.monotonic() + periodMs
    const result = await this.#options.ask()
    // A verdict reached while the process was being stopped is not about the program.
    if (!this.#stopped && !this.#paused) this.#judge(result, counts)
    this.#schedule(this.#verdict === true ? periodMs : Math.min(periodMs, EAGER_PERIOD_MS))
  }

  #judge(result: ProbeResult, counts: boolean): void {
    const { probe, onVerdict } = this.#options
    if (result.ok) {
      this.#failures = 0
      this.#successes++
      if (this.#verdict === true || this.#successes < (probe.successThreshold ?? 1)) return
      this.#verdict = true
      onVerdict(result)
      return
    }
    this.#successes = 0
    if (!counts) return
    this.#failures++
    if (this.#failures < (probe.failureThreshold ?? 3)) return
    this.#failures = 0
    this.#verdict = false
    onVerdict(result)
  }
}
