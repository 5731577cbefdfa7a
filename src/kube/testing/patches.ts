/** JSON merge patch (RFC 7386) and the JSON patch operations (RFC 6902) that the product sends. */
import { isDeepStrictEqual } from 'node:util'
import { KubeError } from '../client.ts'

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return structuredClone(patch)
  const merged: Record<string, unknown> = isRecord(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

/** Strategic merge without its list rules: a patch that needs them is refused rather than applied differently. */
export function strategicPatch(target: unknown, patch: unknown): unknown {
  if (hasObjectList(patch)) {
    throw new KubeError(500, 'InternalError', 'the in-memory client does not merge lists of objects strategically')
  }
  return mergePatch(target, patch)
}

function hasObjectList(value: unknown): boolean {
  if (Array.isArray(value)) return value.some((item) => isRecord(item))
  return isRecord(value) && Object.values(value).some((inner) => hasObjectList(inner))
}

interface Operation {
  readonly op: string
  readonly path: string
  readonly value?: unknown
}

export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new KubeError(400, 'BadRequest', 'a JSON patch is a list of operations')
  const document = { root: structuredClone(target) }
  for (const operation of patch as readonly Operation[]) applyOperation(document, operation)
  return document.root
}

function applyOperation(document: { root: unknown }, operation: Operation): void {
  const { parent, key } = locate(document, operation.path)
  const exists = Array.isArray(parent) ? Number(key) < parent.length : Object.hasOwn(parent, key)
  const present = (parent as Record<string, unknown>)[key]
  if (operation.op === 'test') {
    if (isDeepStrictEqual(present, operation.value)) return
    throw new KubeError(422, 'Invalid', `the server rejected our request: testing ${operation.path} failed`)
  }
  if (operation.op !== 'add' && !exists) {
    throw new KubeError(422, 'Invalid', `the server rejected our request: ${operation.path} does not exist`)
  }
  switch (operation.op) {
    case 'add':
      if (!Array.isArray(parent)) parent[key] = operation.value
      else parent.splice(key === '-' ? parent.length : Number(key), 0, operation.value)
      return
    case 'replace':
      ;(parent as Record<string, unknown>)[key] = operation.value
      return
    case 'remove':
      if (Array.isArray(parent)) parent.splice(Number(key), 1)
      else delete parent[key]
      return
    default:
      throw new KubeError(400, 'BadRequest', `operation ${operation.op} is not supported`)
  }
}

function locate(
  document: { root: unknown },
  path: string,
): { parent: Record<string, unknown> | unknown[]; key: string } {
  const parts = path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const key = parts.pop()
  if (key === undefined) return { parent: document, key: 'root' }
  let parent: unknown = document.root
  for (const part of parts) parent = (parent as Record<string, unknown> | undefined)?.[part]
  if (!isRecord(parent) && !Array.isArray(parent)) {
    throw new KubeError(422, 'Invalid', `the server rejected our request: ${path} does not exist`)
  }
  return { parent, key }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
