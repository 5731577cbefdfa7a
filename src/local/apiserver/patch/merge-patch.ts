/** JSON merge patch (RFC 7386): null removes, objects merge, anything else replaces. */
import { clone, DEPTH_MAX, get, isObject, type JsonObject, put } from './json-value.ts'
import { PatchError } from './patch-error.ts'

export function applyMergePatch(doc: JsonObject, patch: unknown): JsonObject {
  // RFC 7386 lets a scalar replace the whole document; a Kubernetes object can never become one.
  if (!isObject(patch)) throw new PatchError(400, 'a merge patch must be a JSON object')
  return merge(doc, patch, 0)
}

function merge(target: unknown, patch: JsonObject, depth: number): JsonObject {
  if (depth >= DEPTH_MAX) throw new PatchError(400, `the patch is nested more than ${DEPTH_MAX} levels deep`)
  const result: JsonObject = {}
  if (isObject(target)) for (const [key, value] of Object.entries(target)) put(result, key, value)
  for (const [key, change] of Object.entries(patch)) {
    if (change === null) delete result[key]
    else put(result, key, isObject(change) ? merge(get(result, key), change, depth + 1) : clone(change, depth + 1))
  }
  return depth === 0 ? (clone(result) as JsonObject) : result
}
