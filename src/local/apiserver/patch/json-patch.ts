/**
 * JSON patch (RFC 6902) over JSON pointers (RFC 6901). All or nothing: the document is copied first, and the first
 * operation that does not fit ends the patch. Limits are the API server's: 10,000 operations, and copies that together
 * may not outgrow a request body.
 */
import { brief, clone, get, has, isObject, type JsonObject, put, same } from './json-value.ts'
import { PatchError } from './patch-error.ts'

const OPERATIONS_MAX = 10_000
/** Sum of the JSON text of everything `copy` duplicates; otherwise ten copies of copies make gigabytes. */
const COPIED_CHARS_MAX = 3 * 1024 * 1024

interface Operation {
  readonly op: string
  readonly path: readonly string[]
  readonly from?: readonly string[]
  readonly value?: unknown
  readonly text: string
}

type Container = JsonObject | unknown[]

export function applyJsonPatch(doc: JsonObject, ops: unknown): JsonObject {
  if (!Array.isArray(ops)) throw new PatchError(400, 'a JSON patch must be an array of operations')
  if (ops.length > OPERATIONS_MAX) {
    const count = `the JSON patch has ${ops.length} operations`
    throw new PatchError(413, `${count}, the allowed maximum is ${OPERATIONS_MAX}`)
  }
  const operations = ops.map(parse)
  // A holder makes the empty pointer, the whole document, an ordinary member.
  const holder: JsonObject = { root: clone(doc) }
  const budget = { chars: COPIED_CHARS_MAX }
  for (const operation of operations) perform(holder, operation, budget)
  const result = holder['root']
  if (!isObject(result)) throw new PatchError(422, 'the patched document is no longer a JSON object')
  // Operations may nest value in value: what leaves here is within the depth that everyone after can walk.
  return clone(result) as JsonObject
}

function parse(input: unknown): Operation {
  if (!isObject(input)) throw new PatchError(400, `a JSON patch operation must be an object, not ${brief(input)}`)
  const op = get(input, 'op')
  const text = get(input, 'path')
  if (typeof op !== 'string') throw new PatchError(400, 'a JSON patch operation lacks its "op"')
  if (typeof text !== 'string') throw new PatchError(400, `the JSON patch operation "${op}" lacks its "path"`)
  const path = pointer(text)
  switch (op) {
    case 'add':
    case 'replace':
    case 'test':
      if (!has(input, 'value'))
        throw new PatchError(400, `the JSON patch operation "${op}" of "${text}" lacks its "value"`)
      return { op, path, text, value: input['value'] }
    case 'remove':
      return { op, path, text }
    case 'move':
    case 'copy': {
      const from = get(input, 'from')
      if (typeof from !== 'string')
        throw new PatchError(400, `the JSON patch operation "${op}" of "${text}" lacks its "from"`)
      return { op, path, text, from: pointer(from) }
    }
    default:
      throw new PatchError(400, `unknown JSON patch operation ${brief(op)}`)
  }
}

function pointer(text: string): string[] {
  if (text === '') return []
  if (!text.startsWith('/')) throw new PatchError(400, `the JSON pointer ${brief(text)} does not start with "/"`)
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function perform(holder: JsonObject, operation: Operation, budget: { chars: number }): void {
  const { op, path, text } = operation
  switch (op) {
    case 'add':
      add(holder, path, clone(operation.value))
      return
    case 'remove':
      remove(holder, path)
      return
    case 'replace':
      read(holder, path)
      assign(holder, path, clone(operation.value))
      return
    case 'test':
      test(holder, operation)
      return
    case 'move': {
      const from = operation.from ?? []
      const inside = path.length > from.length && from.every((token, index) => token === path[index])
      if (inside) throw new PatchError(422, `move to "${text}" does not apply: a value cannot move into itself`)
      const moved = read(holder, from)
      remove(holder, from)
      add(holder, path, moved)
      return
    }
    default: {
      const value = read(holder, operation.from ?? [])
      budget.chars -= (JSON.stringify(value) ?? '').length
      if (budget.chars < 0) throw new PatchError(413, 'the values that the JSON patch copies are too large')
      add(holder, path, clone(value))
    }
  }
}

function test(holder: JsonObject, { path, text, value }: Operation): void {
  const container = parentOf(holder, path)
  const token = path.at(-1) ?? 'root'
  // `test` for null is how clients ask for absence, and the real server's library answers yes to it.
  if (value === null && !Array.isArray(container) && !has(container, token)) return
  if (!same(read(holder, path), value)) throw new PatchError(422, `testing value ${text} failed`)
}

/** The container that holds the last token of `path`. */
function parentOf(holder: JsonObject, path: readonly string[]): Container {
  let current: Container = holder
  for (const token of path.length === 0 ? [] : ['root', ...path.slice(0, -1)]) {
    const next: unknown = Array.isArray(current) ? current[indexOf(current, token, path)] : get(current, token)
    if (typeof next !== 'object' || next === null) throw missing(path)
    current = next as Container
  }
  return current
}

function read(holder: JsonObject, path: readonly string[]): unknown {
  const container = parentOf(holder, path)
  const token = path.at(-1) ?? 'root'
  if (Array.isArray(container)) return container[indexOf(container, token, path)]
  if (!has(container, token)) throw missing(path)
  return container[token]
}

function assign(holder: JsonObject, path: readonly string[], value: unknown): void {
  const container = parentOf(holder, path)
  const token = path.at(-1) ?? 'root'
  if (Array.isArray(container)) container[indexOf(container, token, path)] = value
  else put(container, token, value)
}

function add(holder: JsonObject, path: readonly string[], value: unknown): void {
  const container = parentOf(holder, path)
  const token = path.at(-1) ?? 'root'
  if (!Array.isArray(container)) put(container, token, value)
  else if (token === '-') container.push(value)
  else container.splice(indexOf(container, token, path, container.length), 0, value)
}

function remove(holder: JsonObject, path: readonly string[]): void {
  const container = parentOf(holder, path)
  const token = path.at(-1) ?? 'root'
  if (Array.isArray(container)) container.splice(indexOf(container, token, path), 1)
  else if (has(container, token)) delete container[token]
  else throw missing(path)
}

/** RFC 6901 section 4: digits without leading zeros; `last` is one more for an insertion at the end. */
function indexOf(items: readonly unknown[], token: string, path: readonly string[], last = items.length - 1): number {
  const index = /^(0|[1-9][0-9]{0,9})$/.test(token) ? Number(token) : -1
  if (index < 0 || index > last) throw missing(path)
  return index
}

function missing(path: readonly string[]): PatchError {
  return new PatchError(422, `the JSON patch does not apply: the document has no path "/${path.join('/')}"`)
}
