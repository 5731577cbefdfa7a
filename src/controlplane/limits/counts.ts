/**
 * What limits of scope `cluster` have seen, by key. One number per key: the time at which its bucket will be full again
 * (the generic cell rate algorithm, which is a token bucket that fills evenly). So a window has no edge at which twice
 * as much would get through, a key costs the same whatever its window is, and one whose time has passed need not be known.
 */
import { createHash } from 'node:crypto'

export interface Rate {
  readonly requests: number
  readonly windowMs: number
  readonly burst: number
}

export interface Counted {
  readonly admitted: boolean
  /** Whole requests that may come at once now. */
  readonly remaining: number
  /** Until there is room for one; 0: there is. */
  readonly waitMs: number
}

/** Of one policy, and of all together: some 150 bytes each. */
const KEYS_MAX = 100_000
const ALL_KEYS_MAX = 500_000
/** Longer ones are remembered by their hash: values are the clients' to choose. */
const KEY_LENGTH_MAX = 256

export class Counts {
  /** By policy and key: when the bucket is full again. The key asked longest ago comes first. */
  readonly #policies = new Map<string, Map<string, number>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** What it would be; nothing is taken. */
  look(policy: string, key: string, rate: Rate, nowMs: number): Counted {
    return judge(this.#policies.get(policy)?.get(shortened(key)), rate, nowMs)
  }

  /** Only what `look` admitted. */
  take(policy: string, key: string, rate: Rate, nowMs: number): Counted {
    const short = shortened(key)
    const keys = this.#keysOf(policy)
    const fullAt = Math.max(nowMs, keys.get(short) ?? 0) + rate.windowMs / rate.requests
    if (keys.delete(short)) this.#size -= 1
    else this.#makeRoom(keys)
    keys.set(short, fullAt)
    this.#size += 1
    return { ...judge(fullAt, rate, nowMs), admitted: true }
  }

  /** Policies that are gone are forgotten. */
  keep(policies: ReadonlyMap<string, unknown>): void {
    for (const [policy, keys] of this.#policies) {
      if (policies.has(policy)) continue
      this.#size -= keys.size
      this.#policies.delete(policy)
    }
  }

  #keysOf(policy: string): Map<string, number> {
    const known = this.#policies.get(policy)
    if (known !== undefined) return known
    const made = new Map<string, number>()
    this.#policies.set(policy, made)
    return made
  }

  #makeRoom(keys: Map<string, number>): void {
    if (keys.size >= KEYS_MAX) this.#dropOldest(keys)
    if (this.#size < ALL_KEYS_MAX) return
    // Whoever has most makes room, so that one policy's hostile clients do not forget another's.
    let most = keys
    for (const others of this.#policies.values()) if (others.size > most.size) most = others
    this.#dropOldest(most)
  }

  #dropOldest(keys: Map<string, number>): void {
    for (const [oldest] of keys) {
      keys.delete(oldest)
      this.#size -= 1
      return
    }
  }
}

function judge(fullAt: number | undefined, { requests, windowMs, burst }: Rate, nowMs: number): Counted {
  const each = windowMs / requests
  const missing = Math.max(0, (fullAt ?? 0) - nowMs) / each
  // Sums of fractions come out a little off a whole number.
  const left = burst - missing + 1e-6
  return { admitted: left >= 1, remaining: Math.max(0, Math.floor(left)), waitMs: left >= 1 ? 0 : (1 - left) * each }
}

const shortened = (key: string): string =>
  key.length <= KEY_LENGTH_MAX ? key : createHash('sha256').update(key).digest('base64')
