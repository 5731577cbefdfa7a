/**
 * Local rate limits divided among workers: each has its part of the tokens and of their return, so that all together admit
 * what was configured. Where one worker has most of a client's connections the client gets less than its limit, never
 * more; a bucket with fewer tokens than there are workers has one in each. Pure.
 */
import type { RateLimitPolicy, TokenBucket } from '../../model/config.ts'

/** The same object where it holds no limit. What is neither a list nor a plain object is never looked into. */
export function withBucketShares<T>(value: T, workers: number): T {
  return divided(value, workers) as T
}

function divided(value: unknown, workers: number): unknown {
  if (Array.isArray(value)) return dividedList(value, workers)
  if (!isPlain(value)) return value
  const policy = limitOf(value)
  if (policy !== undefined) return limitWith(value, share(policy, workers))
  let changed: Record<string, unknown> | undefined
  for (const [name, inner] of Object.entries(value)) {
    const made = divided(inner, workers)
    if (made === inner) continue
    changed ??= { ...value }
    changed[name] = made
  }
  return changed ?? value
}

function dividedList(list: readonly unknown[], workers: number): readonly unknown[] {
  const made = list.map((item) => divided(item, workers))
  return made.every((item, index) => item === list[index]) ? list : made
}

type Plain = Readonly<Record<string, unknown>>

const isPlain = (value: unknown): value is Plain =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

/** A chain's filter has its policy inside its configuration; a route's configuration is one. */
function limitOf({ kind, config }: Plain): RateLimitPolicy | undefined {
  if (kind !== 'rateLimit' || !isPlain(config)) return undefined
  const policy = 'bucket' in config ? config : config['policy']
  return policy as RateLimitPolicy | undefined
}

function limitWith(filter: Plain, policy: RateLimitPolicy): Plain {
  const isRouted = isPlain(filter['config']) && 'bucket' in filter['config']
  return { ...filter, config: isRouted ? policy : { policy } }
}

function share(policy: RateLimitPolicy, workers: number): RateLimitPolicy {
  // A connection is one worker's: its buckets are whole.
  if (policy.perConnection === true) return policy
  const { bucket, descriptors } = policy
  return {
    ...policy,
    bucket: part(bucket, workers),
    ...(descriptors !== undefined && {
      descriptors: descriptors.map(({ entries, bucket: own }) => ({ entries, bucket: part(own, workers) })),
    }),
  }
}

const part = ({ tokensMax, tokensPerFill, fillMs }: TokenBucket, workers: number): TokenBucket => ({
  tokensMax: Math.max(1, Math.floor(tokensMax / workers)),
  tokensPerFill,
  fillMs: fillMs * workers,
})
