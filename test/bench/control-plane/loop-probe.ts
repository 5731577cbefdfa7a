/**
 * Preloaded into the control plane that is measured: says over IPC for how long its event loop was blocked since it was
 * last asked. Nothing of the product knows of it.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface LoopDelay {
  readonly maxMs: number
  readonly p99Ms: number
}

const RESOLUTION_MS = 2
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
histogram.enable()
// What a turn of the loop is late by; the timer's own period is no delay.
const late = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS)
process.on('message', () => {
  process.send?.({ maxMs: late(histogram.max), p99Ms: late(histogram.percentile(99)) } satisfies LoopDelay)
  histogram.reset()
})
process.channel?.unref()
