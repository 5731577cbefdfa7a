/**
 * Runs the script against a ready mesh: load, phases, faults, heals. Knows the faults' order and times; counting is
 * measure.ts's, judging report.ts's.
 */
import { delay, type Clock } from '../../runtime/clock.ts'
import type { DemoConfig, DemoFault } from './config.ts'
import type { FaultWindow, Phase } from './measure.ts'

/** What a fault does to a cluster of this machine. */
export interface FaultControl {
  killPods(where: { namespace: string; labelSelector: string }): Promise<void>
  cut(): Promise<void>
  heal(): Promise<void>
}

export interface ScriptOptions {
  readonly demo: DemoConfig
  readonly clock: Clock
  readonly control: (cluster: string) => FaultControl
  readonly onPhase: (phase: Phase) => void
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

export interface ScriptResult {
  readonly phases: readonly Phase[]
  readonly faults: readonly FaultWindow[]
}

interface OpenPhase {
  name: string
  from: number
  to: number
}

export async function runScript(options: ScriptOptions): Promise<ScriptResult> {
  const { demo, clock, signal } = options
  const phases: OpenPhase[] = []
  const begin = (name: string): OpenPhase => {
    const now = clock.now()
    const last = phases.at(-1)
    if (last !== undefined) last.to = now
    const phase = { name, from: now, to: Number.POSITIVE_INFINITY }
    phases.push(phase)
    options.onPhase(phase)
    return phase
  }
  const last = (): Promise<void> => delay(clock, demo.phaseSeconds * 1_000, signal)

  const faults: FaultWindow[] = []
  let before = begin('steady')
  await last()
  for (const fault of demo.faults) {
    if (signal.aborted) break
    const name = `${fault.kind} ${fault.kind === 'cut-cluster' ? fault.cluster : `${fault.cluster}/${fault.service}`}`
    options.progress(`fault: ${describe(fault)}`)
    const during = begin(name)
    await inject(options, fault)
    await last()
    options.progress(`heal: ${fault.cluster}`)
    const after = begin(`healed ${fault.cluster}`)
    await options.control(fault.cluster).heal()
    await last()
    faults.push({ name, service: fault.service, cluster: fault.cluster, before, during, after })
    before = after
  }
  const open = phases.at(-1)
  if (open !== undefined) open.to = clock.now()
  return { phases, faults }
}

function describe(fault: DemoFault): string {
  return fault.kind === 'kill-pods'
    ? `SIGKILL to every pod ${fault.labels} in ${fault.cluster}; restarts held back`
    : `${fault.cluster} cut off: its gateway, control plane and federation stop answering without closing`
}

async function inject({ control, demo }: ScriptOptions, fault: DemoFault): Promise<void> {
  if (fault.kind === 'cut-cluster') return control(fault.cluster).cut()
  return control(fault.cluster).killPods({ namespace: demo.load.namespace, labelSelector: fault.labels })
}
