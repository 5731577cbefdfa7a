/**
 * Settings of V8 for daemons: small while they idle, which is most of their life, and room and fast code while they
 * work. Not for the CLI, which lives for a moment.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Cancel, Clock } from './clock.ts'

const SMALL = '--semi-space-growth-factor=1'
/** V8's own. */
const GROWING = '--semi-space-growth-factor=2'
const LOOK_EVERY_MS = 2_000
/** Share of one core. Below it collecting a small generation often costs nothing that anyone would see. */
const BUSY_SHARE = 0.1
/** Share from which slow code would be seen: about a hundred requests a second. */
const WARM_SHARE = 0.02
/** Below it nobody is there whom a pause of 30 ms could meet. */
const QUIET_SHARE = 0.005
/** One look may be a start or a new configuration; and a pause between two of them is not the end of the work. */
const LOOKS = 2
/**
 * Once it has worked, a pause of a minute. Releasing collects so thoroughly that V8 forgets the shapes of objects that
 * are not there at that moment, and with them the code that was optimized for them: work that comes back after a pause
 * of four seconds cost 1.7 times as much for as long again.
 */
const IDLE_LOOKS = 30
/** Work that leaves something behind: a handful of configurations. */
const WORTH_A_RELEASE_MS = 100

const RELEASE_HEAP_BYTES_MAX = 64 * 1024 * 1024

/**
 * Keeps the young generation at the size it is born with; to be called before anything heavy is imported. Loading the
 * generated Envoy schemas would otherwise grow it to 48 MiB that an idle process never gives back (measured for a
 * sidecar: 110 MiB resident with growth, 82 MiB without).
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString(SMALL)
}

const OPTIMIZERS = ['opt', 'maglev'] as const

/**
 * Interprets, and compiles without optimizing, until {@link followLoad} sees work. Loading the schemas runs hot
 * for a tenth of a second, and the two optimizing compilers that this wakes leave 11 MiB resident, 8 of them their own
 * machine code, for functions that an idle sidecar never calls again; starting takes no longer without them.
 */
export function optimizeLater(): void {
  for (const name of OPTIMIZERS) setFlagsFromString(`--no-${name}`)
}

interface LoadTools {
  /** CPU time of the process so far. */
  readonly cpuMs: () => number
  readonly setFlags: (flags: string) => void
  readonly release: () => void
}

const OWN: LoadTools = {
  cpuMs: () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1_000
  },
  setFlags: setFlagsFromString,
  // A heap full of connections is not what a start left, and takes a pause of its own size.
  release: () => {
    if (process.memoryUsage().heapUsed < RELEASE_HEAP_BYTES_MAX) releaseStartupMemory()
  },
}

/**
 * Looks at the process's own CPU time. While it is busy the young generation may grow: the small one is collected dozens
 * of times a second under load, each time with all requests under way alive in it, 14 % of the CPU of an mTLS request
 * (docs/performance.md). From its first real work on it optimizes. And when work is over it gives back what that left.
 */
export function followLoad(clock: Clock, { cpuMs, setFlags, release }: LoadTools = OWN): Cancel {
  let usedMs = cpuMs()
  let releasedAtMs = usedMs
  let looks = { busy: 0, warm: 0, quiet: 0 }
  let growing = false
  let optimizing = false
  return clock.every(LOOK_EVERY_MS, () => {
    const share = (cpuMs() - usedMs) / LOOK_EVERY_MS
    usedMs += share * LOOK_EVERY_MS
    looks = {
      busy: share > BUSY_SHARE ? looks.busy + 1 : 0,
      warm: share > WARM_SHARE ? looks.warm + 1 : 0,
      quiet: share < QUIET_SHARE ? looks.quiet + 1 : 0,
    }
    if (looks.warm >= LOOKS && !optimizing) {
      optimizing = true
      for (const name of OPTIMIZERS) setFlags(`--${name}`)
    }
    const busy = looks.busy >= LOOKS
    if (busy !== growing) {
      growing = busy
      setFlags(busy ? GROWING : SMALL)
    }
    if (looks.quiet >= (optimizing ? IDLE_LOOKS : LOOKS) && usedMs - releasedAtMs > WORTH_A_RELEASE_MS) {
      release()
      usedMs = cpuMs()
      releasedAtMs = usedMs
    }
  })
}

/**
 * Collects once and thoroughly, and gives free pages back; for the moment when a start is over and nothing waits yet
 * (it takes 20 to 40 ms). Not for a process that serves. V8 alone keeps what loading left for as long as an idle
 * process allocates nothing (measured for a sidecar: 84 to 85 MiB resident with it, 87 to 105 without, by how collections happened to fall).
 */
export function releaseStartupMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: object) => void
  setFlagsFromString('--no-expose-gc')
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
