/**
 * How long a call holds the event loop: the thread's own processor time, so that what else the machine does meanwhile
 * does not count. Means of several runs, for that clock may tick in milliseconds; of three such means the least, for
 * even processor time grows while another process has the caches.
 */
export function loopMs(run: () => void, times = 5): number {
  run()
  return Math.min(meanMs(run, times), meanMs(run, times), meanMs(run, times))
}

function meanMs(run: () => void, times: number): number {
  const before = process.threadCpuUsage()
  for (let time = 0; time < times; time += 1) run()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000 / times
}
