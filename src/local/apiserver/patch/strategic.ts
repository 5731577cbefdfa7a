/**
 * Strategic merge patch: a merge patch that knows which lists of a built-in kind are keyed, and obeys the directives
 * that kubectl writes ($patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList). Custom resources have no such
 * knowledge and are refused before this (415).
 */
import { fieldTypes, typeOfKind } from '../openapi/type-table.ts'
import { brief, clone, DEPTH_MAX, get, has, isObject, type JsonObject, put } from './json-value.ts'
import { identityOf, mergeOrders } from './list-order.ts'
import { mergeKeyOf } from './merge-keys.ts'
import { PatchError } from './patch-error.ts'

const ORDER = '$setElementOrder/'
const DELETE = '$deleteFromPrimitiveList/'
const RETAIN = '$retainKeys'
const PATCH = '$patch'

/** How a list merges: by which member, over elements of which type, in which wanted order. */
interface ListRule {
  readonly field: string
  /** Undefined for a set of scalars. */
  readonly key: string | undefined
  readonly type: string | undefined
  readonly order: readonly unknown[] | undefined
}

export function applyStrategicPatch(doc: JsonObject, patch: unknown, kind: string): JsonObject {
  if (!isObject(patch)) throw new PatchError(400, 'a strategic merge patch must be a JSON object')
  return clone(mergeObject(doc, patch, typeOfKind(kind), 0)) as JsonObject
}

function mergeObject(original: JsonObject, patch: JsonObject, type: string | undefined, depth: number): JsonObject {
  if (depth >= DEPTH_MAX) throw new PatchError(400, `the patch is nested more than ${DEPTH_MAX} levels deep`)
  const directive = get(patch, PATCH)
  if (directive === 'delete') return {}
  if (directive !== undefined && directive !== 'replace' && directive !== 'merge')
    throw new PatchError(400, `unknown ${PATCH} directive ${brief(directive)}; use replace, merge or delete`)
  const result: JsonObject = {}
  if (directive !== 'replace') for (const [name, value] of Object.entries(original)) put(result, name, value)
  retain(result, patch)
  removeScalars(result, patch)
  for (const [name, change] of Object.entries(patch)) {
    if (name === PATCH || name === RETAIN || name.startsWith(DELETE) || name.startsWith(ORDER)) continue
    if (change === null) delete result[name]
    else put(result, name, mergeField({ owner: type, name, current: get(result, name), change, patch }, depth))
  }
  reorder(result, patch, type)
  return result
}

interface Field {
  readonly owner: string | undefined
  readonly name: string
  readonly current: unknown
  readonly change: unknown
  readonly patch: JsonObject
}

function mergeField({ owner, name, current, change, patch }: Field, depth: number): unknown {
  const { value, item } = fieldTypes(owner, name)
  if (isObject(change)) return mergeObject(isObject(current) ? current : {}, change, value, depth + 1)
  if (!Array.isArray(change)) return change
  const key = mergeKeyOf(owner, name)
  const list = Array.isArray(current) ? current : []
  if (key === undefined) return change.filter((element) => !isReplaceMarker(element))
  const rule = { field: name, key: key === '' ? undefined : key, type: item, order: orderFor(patch, name) }
  return mergeList(list, change, rule, depth + 1)
}

/** `$retainKeys`: of a union, only the named members stay; the patch may not set another. */
function retain(result: JsonObject, patch: JsonObject): void {
  const names = get(patch, RETAIN)
  if (names === undefined) return
  if (!Array.isArray(names)) throw new PatchError(400, `${RETAIN} must be a list of member names`)
  const kept = new Set<unknown>(names)
  for (const [name, value] of Object.entries(patch)) {
    if (!name.startsWith('$') && value !== null && !kept.has(name))
      throw new PatchError(400, `the patch sets ${brief(name)}, which its own ${RETAIN} leaves out`)
  }
  for (const name of Object.keys(result)) if (!kept.has(name)) delete result[name]
}

function removeScalars(result: JsonObject, patch: JsonObject): void {
  for (const [directive, values] of Object.entries(patch)) {
    if (!directive.startsWith(DELETE)) continue
    if (!Array.isArray(values)) throw new PatchError(400, `${directive} must be a list of values`)
    const name = directive.slice(DELETE.length)
    const current = get(result, name)
    if (Array.isArray(current))
      put(
        result,
        name,
        current.filter((value) => !values.includes(value)),
      )
  }
}

function orderFor(patch: JsonObject, name: string): readonly unknown[] | undefined {
  const order = get(patch, ORDER + name)
  if (order === undefined) return undefined
  if (!Array.isArray(order)) throw new PatchError(400, `${ORDER}${name} must be a list`)
  return order
}

/** An order may come without changes to its list. */
function reorder(result: JsonObject, patch: JsonObject, type: string | undefined): void {
  for (const directive of Object.keys(patch)) {
    if (!directive.startsWith(ORDER)) continue
    const name = directive.slice(ORDER.length)
    const current = get(result, name)
    const key = mergeKeyOf(type, name)
    if (has(patch, name) || key === undefined || !Array.isArray(current)) continue
    const order = orderFor(patch, name) ?? []
    put(result, name, mergeOrders({ items: current, wanted: order, live: current, key: key === '' ? undefined : key }))
  }
}

const isReplaceMarker = (element: unknown): boolean =>
  isObject(element) && get(element, PATCH) === 'replace' && Object.keys(element).length === 1

function mergeList(current: readonly unknown[], patch: readonly unknown[], rule: ListRule, depth: number): unknown[] {
  if (rule.key === undefined) return mergeSet(current, patch, rule)
  const elements = patch.map((element) => keyed(element, rule.field, rule.key ?? ''))
  // One element that says replace replaces the list by the others.
  const isReplaced = elements.some((element) => get(element, PATCH) === 'replace')
  const merged: unknown[] = isReplaced ? [] : [...current]
  const changes = elements.filter((element) => get(element, PATCH) !== 'replace')
  for (const element of changes) {
    const at = merged.findIndex((item) => identityOf(item, rule.key) === get(element, rule.key ?? ''))
    if (get(element, PATCH) === 'delete') {
      if (at >= 0) merged.splice(at, 1)
      continue
    }
    const before = at < 0 ? undefined : merged[at]
    const after = mergeObject(isObject(before) ? before : {}, element, rule.type, depth)
    if (at < 0) merged.push(after)
    else merged[at] = after
  }
  const changed = changes.filter((element) => get(element, PATCH) !== 'delete')
  return mergeOrders({ items: merged, wanted: wantedOrder(changed, rule), live: current, key: rule.key })
}

function mergeSet(current: readonly unknown[], patch: readonly unknown[], rule: ListRule): unknown[] {
  const items = [...new Set([...current, ...patch])]
  return mergeOrders({ items, wanted: wantedOrder(patch, rule), live: current, key: undefined })
}

/** `$setElementOrder` must hold every element that the patch changes, or two orders would contradict each other. */
function wantedOrder(changed: readonly unknown[], rule: ListRule): readonly unknown[] {
  if (rule.order === undefined) return changed
  const known = new Set(rule.order.map((item) => identityOf(item, rule.key)))
  const stray = changed.find((item) => !known.has(identityOf(item, rule.key)))
  if (stray === undefined) return rule.order
  throw new PatchError(
    400,
    `${ORDER}${rule.field} lacks the element ${brief(identityOf(stray, rule.key))} that the patch changes`,
  )
}

function keyed(element: unknown, field: string, key: string): JsonObject {
  if (!isObject(element)) throw new PatchError(400, `elements of ${field} must be objects, not ${brief(element)}`)
  if (!has(element, key) && get(element, PATCH) !== 'replace')
    throw new PatchError(400, `map: ${brief(element)} does not contain declared merge key: ${key}`)
  return element
}
