/** How long a call holds the event loop, on a machine that does other things too: the fastest of several runs. */
export function fastestMs(run: () => void, times = 5): number {
  let fastest = Number.POSITIVE_INFINITY
  for (let time = 0; time < times; time += 1) {
    const begun = performance.now()
    run()
    fastest = Math.min(fastest, performance.now() - begun)
  }
  return fastest
}
