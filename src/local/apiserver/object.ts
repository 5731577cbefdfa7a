/**
 * The shapes that pass through the server: plain JSON, never typed further than the metadata that the server itself
 * owns. Stored objects are frozen by convention: whoever changes one clones it first.
 */
import type { ObjectMeta } from '../../kube/object.ts'

export type JsonObject = Record<string, unknown>

export interface Metadata extends ObjectMeta {
  deletionGracePeriodSeconds?: number
  managedFields?: unknown[]
}

export interface ApiObject {
  apiVersion: string
  kind: string
  metadata: Metadata
  [field: string]: unknown
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object at `key`, or an empty one that is *not* attached. */
export function child(parent: unknown, key: string): JsonObject {
  const value = isJsonObject(parent) ? parent[key] : undefined
  return isJsonObject(value) ? value : {}
}

export function children(parent: unknown, key: string): JsonObject[] {
  const value = isJsonObject(parent) ? parent[key] : undefined
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}

export function text(parent: unknown, key: string): string {
  const value = isJsonObject(parent) ? parent[key] : undefined
  return typeof value === 'string' ? value : ''
}

export function numberAt(parent: unknown, key: string): number | undefined {
  const value = isJsonObject(parent) ? parent[key] : undefined
  return typeof value === 'number' ? value : undefined
}

export function texts(parent: unknown, key: string): string[] {
  const value = isJsonObject(parent) ? parent[key] : undefined
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

/** The object at `key`, made and attached when absent: for defaulting. */
export function ensureChild(parent: JsonObject, key: string): JsonObject {
  const value = parent[key]
  if (isJsonObject(value)) return value
  const made: JsonObject = {}
  parent[key] = made
  return made
}

export function setDefault(target: JsonObject, key: string, value: unknown): void {
  if (target[key] === undefined || target[key] === null) target[key] = value
}

export function nameOf(object: ApiObject): string {
  return object.metadata.name ?? ''
}

export function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`
}

/** RFC 3339 with whole seconds, as metav1.Time prints. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** What selectors compare: scalars as text, everything else as absent. */
export function scalarText(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}
