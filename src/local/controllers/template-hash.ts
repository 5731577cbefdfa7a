/** The label that tells the pods of one revision from those of another: equal templates, equal hash, on any machine. */
import { createHash } from 'node:crypto'

/** Kubernetes' alphabet for generated names: no vowels, so no words. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'
const LENGTH = 10

export function templateHash(template: unknown, collisions = 0): string {
  const digest = createHash('sha256').update(canonical(template)).update(`#${collisions}`).digest()
  let text = ''
  for (const byte of digest.subarray(0, LENGTH)) text += ALPHABET[byte % ALPHABET.length] ?? ''
  return text
}

/** JSON with sorted keys and without nulls: the order in which a client wrote a map must not start a rollout. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, each]) => each !== undefined && each !== null)
  const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join(',')}}`
}
