/** Settings of V8's heap for daemons: small while they idle, which is most of their life, and room while they work. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Cancel, Clock } from './clock.ts'

const SMALL = '--semi-space-growth-factor=1'
/** V8's own. */
const GROWING = '--semi-space-growth-factor=2'
const LOOK_EVERY_MS = 2_000
/** Share of one core. Below it collecting a small generation often costs nothing that anyone would see. */
const BUSY_SHARE = 0.1
/** One busy look may be a start or a new configuration. */
const BUSY_LOOKS = 2

/**
 * Keeps the young generation at the size it is born with; to be called before anything heavy is imported. Loading the
 * generated Envoy schemas would otherwise grow it to 48 MiB that an idle process never gives back (measured for a
 * sidecar: 110 MiB resident with growth, 82 MiB without).
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString(SMALL)
}

/**
 * Lets the young generation grow while the process is busy. Under load the small one is collected dozens of times a
 * second, each time with all requests under way alive in it: 14 % of the CPU of an mTLS request (docs/performance.md).
 */
export function growYoungGenerationUnderLoad(
  clock: Clock,
  tools: { readonly cpuMs: () => number; readonly setFlags: (flags: string) => void } = {
    cpuMs: () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1_000
    },
    setFlags: setFlagsFromString,
  },
): Cancel {
  let usedMs = tools.cpuMs()
  let looks = 0
  let growing = false
  return clock.every(LOOK_EVERY_MS, () => {
    const nowMs = tools.cpuMs()
    looks = nowMs - usedMs > BUSY_SHARE * LOOK_EVERY_MS ? looks + 1 : 0
    usedMs = nowMs
    const busy = looks >= BUSY_LOOKS
    if (busy === growing) return
    growing = busy
    tools.setFlags(busy ? GROWING : SMALL)
  })
}

/**
 * Collects once and thoroughly, and gives free pages back; for the moment when a start is over and nothing waits yet
 * (it takes 20 to 40 ms). V8 alone keeps what loading left for as long as an idle process allocates nothing (measured
 * for a sidecar: 84 to 85 MiB resident with it, 87 to 105 without, by how collections happened to fall).
 */
export function releaseStartupMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: object) => void
  setFlagsFromString('--no-expose-gc')
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
