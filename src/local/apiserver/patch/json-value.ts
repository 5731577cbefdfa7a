/**
 * Plain JSON trees as the patch engines handle them. Not a parser: the trees come from JSON.parse or YAML. Keys are
 * only ever set as own properties, so that a key called `__proto__` in a patch is data and never a prototype.
 */
import { PatchError } from './patch-error.ts'

export type JsonObject = Record<string, unknown>

/** Recursion in clone, merge and compare is bounded by this; the deepest real manifests (CRD schemas) stay under 60. */
export const DEPTH_MAX = 500

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function has(object: JsonObject, key: string): boolean {
  return Object.hasOwn(object, key)
}

/** An own property or undefined: `constructor` and friends are absent unless the document holds them. */
export function get(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

export function put(object: JsonObject, key: string, value: unknown): void {
  if (key === '__proto__') {
    // Assignment would call the setter that swaps the prototype.
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else object[key] = value
}

export function clone(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth >= DEPTH_MAX) throw new PatchError(400, `the document is nested more than ${DEPTH_MAX} levels deep`)
  if (Array.isArray(value)) return value.map((item) => clone(item, depth + 1))
  const copy: JsonObject = {}
  for (const [key, member] of Object.entries(value)) put(copy, key, clone(member, depth + 1))
  return copy
}

/** Equality of JSON values: the order of members does not count, the order of items does. */
export function same(left: unknown, right: unknown, depth = 0): boolean {
  if (left === right) return true
  if (depth >= DEPTH_MAX) throw new PatchError(400, `the document is nested more than ${DEPTH_MAX} levels deep`)
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => same(item, right[index], depth + 1))
    )
  }
  if (!isObject(left) || !isObject(right)) return false
  const keys = Object.keys(left)
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => has(right, key) && same(left[key], right[key], depth + 1))
  )
}

/** A short text of a value for error messages; containers by their kind, since they may be of any size. */
export function brief(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (isObject(value))
    return `an object with ${JSON.stringify(
      Object.keys(value)
        .slice(0, 5)
        .map((key) => key.slice(0, 40)),
    )}`
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`
}
