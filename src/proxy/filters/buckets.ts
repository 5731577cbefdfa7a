/**
 * Token buckets, filled continuously as Envoy's are: one for all requests, some for descriptors that were named, and one
 * for each value that stands where a descriptor names none. Values are the clients' to choose, so how many have a bucket
 * is bounded, and so is what one of them takes in memory.
 */
import { createHash } from 'node:crypto'
import type { RateLimitPolicy, TokenBucket } from '../../model/config.ts'
import type { Descriptor } from './descriptors.ts'

/** Envoy's. */
const VALUES_MAX = 20
/** Longer keys are remembered by their hash: a header may be 64 KiB, and thousands are remembered. */
const KEY_LENGTH_MAX = 256

export class Bucket {
  readonly max: number
  readonly perMs: number
  #tokens: number
  #filledAt = Number.NEGATIVE_INFINITY

  constructor({ tokensMax, tokensPerFill, fillMs }: TokenBucket) {
    this.max = tokensMax
    this.perMs = tokensPerFill / fillMs
    this.#tokens = tokensMax
  }

  /** Tokens there are now, with fractions. */
  at(nowMs: number): number {
    if (nowMs > this.#filledAt) {
      this.#tokens = Math.min(this.max, this.#tokens + (nowMs - this.#filledAt) * this.perMs)
      this.#filledAt = nowMs
    }
    return this.#tokens
  }

  /** False: empty, and nothing was taken. */
  take(nowMs: number): boolean {
    if (this.at(nowMs) < 1) return false
    this.#tokens--
    return true
  }

  /** Until there is a token again. */
  waitMs(nowMs: number): number {
    const tokens = this.at(nowMs)
    return tokens >= 1 ? 0 : (1 - tokens) / this.perMs
  }
}

/** What was taken from; `admitted` false: that one was empty. */
export interface Taking {
  readonly admitted: boolean
  readonly bucket: Bucket
}

type Entries = Descriptor['entries']

/** One descriptor that names keys and not all values. */
class ValueBuckets {
  readonly #keys: readonly string[]
  readonly #values: readonly string[]
  readonly #bucket: TokenBucket
  readonly #max: number
  /** The one asked longest ago first. */
  readonly #found = new Map<string, Bucket>()

  constructor(entries: readonly { readonly key: string; readonly value: string }[], bucket: TokenBucket, max: number) {
    this.#keys = entries.map(({ key }) => key)
    this.#values = entries.map(({ value }) => value)
    this.#bucket = bucket
    this.#max = max
  }

  get size(): number {
    return this.#found.size
  }

  /** Undefined: the descriptor is not of this kind. */
  of(entries: Entries, key: string): Bucket | undefined {
    if (entries.length !== this.#keys.length) return undefined
    for (const [index, [name, value]] of entries.entries()) {
      const wanted = this.#values[index] ?? ''
      if (name !== this.#keys[index] || (wanted !== '' && wanted !== value)) return undefined
    }
    const known = this.#found.get(key)
    if (known !== undefined) this.#found.delete(key)
    else if (this.#found.size >= this.#max) {
      for (const [oldest] of this.#found) {
        this.#found.delete(oldest)
        break
      }
    }
    const bucket = known ?? new Bucket(this.#bucket)
    this.#found.set(key, bucket)
    return bucket
  }
}

export class Buckets {
  readonly #common: Bucket
  readonly #named = new Map<string, Bucket>()
  readonly #values: readonly ValueBuckets[]
  readonly #descriptorsOnly: boolean

  constructor({ bucket: common, descriptorsOnly, descriptors = [], valuesMax = VALUES_MAX }: RateLimitPolicy) {
    this.#common = new Bucket(common)
    this.#descriptorsOnly = descriptorsOnly === true
    const values: ValueBuckets[] = []
    for (const { entries, bucket } of descriptors) {
      if (entries.some(({ value }) => value === '')) values.push(new ValueBuckets(entries, bucket, valuesMax))
      else this.#named.set(keyOf(entries.map(({ key, value }) => [key, value] as const)), new Bucket(bucket))
    }
    this.#values = values
  }

  get hasOwn(): boolean {
    return this.#named.size > 0 || this.#values.length > 0
  }

  /** Whether no descriptor's bucket was met. */
  isCommon({ bucket }: Taking): boolean {
    return bucket === this.#common
  }

  /** How many values have a bucket now. */
  get size(): number {
    return this.#values.reduce((sum, { size }) => sum + size, 0)
  }

  /** As in Envoy the slowest bucket is asked first, and it is the one that clients are told about. */
  take(descriptors: readonly Descriptor[], nowMs: number): Taking {
    const matched: Bucket[] = []
    for (const { entries } of descriptors) {
      const bucket = this.#of(entries)
      if (bucket !== undefined) matched.push(bucket)
    }
    if (matched.length > 1) matched.sort((one, other) => one.perMs - other.perMs)
    for (const bucket of matched) if (!bucket.take(nowMs)) return { admitted: false, bucket }
    const [first] = matched
    if (first !== undefined && this.#descriptorsOnly) return { admitted: true, bucket: first }
    const admitted = this.#common.take(nowMs)
    return { admitted, bucket: admitted ? (first ?? this.#common) : this.#common }
  }

  /** One that names every value wins over those that leave some open. */
  #of(entries: Entries): Bucket | undefined {
    const key = keyOf(entries)
    const named = this.#named.get(key)
    if (named !== undefined || this.#values.length === 0) return named
    const short = key.length > KEY_LENGTH_MAX ? createHash('sha256').update(key).digest('base64') : key
    for (const values of this.#values) {
      const bucket = values.of(entries, short)
      if (bucket !== undefined) return bucket
    }
    return undefined
  }

  /** Nothing to let go of: buckets are kept as long as a configuration has them. */
  close(): void {}
}

/** No character of a header's value is the separator. */
function keyOf(entries: Entries): string {
  let key = ''
  for (const [name, value] of entries) key += `${name}\n${value}\n`
  return key
}
