/**
 * Preloaded into the control plane that is measured: says over IPC for how long its event loop was blocked since it was
 * last asked. On a busy machine the loop is also late when others run, so the CPU time of a turn is told beside its
 * time: that is what the control plane itself does. Nothing of the product knows of it.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface LoopDelay {
  readonly maxMs: number
  /** CPU time of the thread between two looks, at most. */
  readonly busyMs: number
}

const RESOLUTION_MS = 2
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
histogram.enable()
// What a turn of the loop is late by; the timer's own period is no delay.
const late = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS)
let busyUs = 0
let last = process.threadCpuUsage()
const look = (): void => {
  const spent = process.threadCpuUsage(last)
  busyUs = Math.max(busyUs, spent.user + spent.system)
  last = process.threadCpuUsage()
}
setInterval(look, RESOLUTION_MS).unref()
process.on('message', () => {
  look()
  process.send?.({ maxMs: late(histogram.max), busyMs: busyUs / 1_000 } satisfies LoopDelay)
  histogram.reset()
  busyUs = 0
})
process.channel?.unref()
