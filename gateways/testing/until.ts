/** Waiting in tests of the data path. */
import { systemClock } from '../../src/runtime/clock.ts'
import type { Pod } from './world.ts'

/** Polls until `check` holds; for what has no event of its own. */
export async function until(check: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = systemClock.monotonic() + limitMs
  while (!(await check())) {
    if (systemClock.monotonic() > end) throw new Error(`not within ${limitMs} ms: ${check.toString()}`)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise<void>((resolve) => systemClock.after(5, resolve))
  }
}

export const listening = (pod: Pod): Promise<void> => until(() => pod.proxy.listeners.awaited.length === 0)
