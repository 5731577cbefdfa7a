/**
 * How long a call holds the event loop: the thread's own processor time, so that what else the machine does meanwhile does
 * not count. The mean of several runs after a first one, for that clock may tick in milliseconds.
 */
export function loopMs(run: () => void, times = 5): number {
  run()
  const before = process.threadCpuUsage()
  for (let time = 0; time < times; time += 1) run()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000 / times
}
