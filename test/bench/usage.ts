/** What processes used, as the kernel counts it. */
import { readdir, readFile } from 'node:fs/promises'

/**
 * User and system time of a process, microseconds. `/proc/<pid>/stat` counts in ticks of 10 ms, too coarse for a
 * second at a fixed rate; the scheduler's own sum per thread is the same time in nanoseconds.
 */
export async function cpuUs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`)
  const used = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').catch(() => '0')),
  )
  return used.reduce((sum, line) => sum + Number(line.split(' ', 1)[0]), 0) / 1_000
}

export async function cpuOfAllUs(pids: readonly number[]): Promise<number> {
  const used = await Promise.all(pids.map(cpuUs))
  return used.reduce((sum, one) => sum + one, 0)
}

export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1_024
}
