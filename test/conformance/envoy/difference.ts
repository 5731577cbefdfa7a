/** Where two outcomes differ, a line each: the place, what Envoy has, what ours has. Empty: nowhere. */
type Value = unknown

const LINES_MAX = 30
const VALUE_CHARS_MAX = 300

export function differences(theirs: Value, ours: Value): readonly string[] {
  const lines: string[] = []
  walk('', { theirs, ours }, lines)
  return lines.length > LINES_MAX ? [...lines.slice(0, LINES_MAX), `… ${lines.length - LINES_MAX} more`] : lines
}

function walk(place: string, { theirs, ours }: { theirs: Value; ours: Value }, lines: string[]): void {
  const [left, right] = [JSON.stringify(theirs), JSON.stringify(ours)]
  if (left === right) return
  if (isFields(theirs) && isFields(ours)) return compareFields(place, { theirs, ours }, lines)
  if (isTree(theirs) && isTree(ours) && Array.isArray(theirs) === Array.isArray(ours)) {
    for (const key of new Set([...Object.keys(theirs), ...Object.keys(ours)])) {
      walk(`${place}.${key}`, { theirs: theirs[key], ours: ours[key] }, lines)
    }
    return
  }
  lines.push(`${place}: Envoy ${shown(left)}, ours ${shown(right)}`)
}

type Tree = { readonly [key: string]: Value }
const isTree = (value: Value): value is Tree => typeof value === 'object' && value !== null

/** Header fields, as name and value. */
type Fields = readonly (readonly [string, string])[]
const isFields = (value: Value): value is Fields =>
  Array.isArray(value) && value.length > 0 && value.every((one) => Array.isArray(one) && one.length === 2)

function compareFields(place: string, { theirs, ours }: { theirs: Fields; ours: Fields }, lines: string[]): void {
  const [left, right] = [theirs, ours].map((fields) => fields.map(([name, value]) => `${name}: ${value}`))
  const only = (these: readonly string[] = [], those: readonly string[] = []): string[] =>
    these.filter((line) => !those.includes(line))
  const [missing, added] = [only(left, right), only(right, left)]
  if (missing.length > 0) lines.push(`${place}: only Envoy has ${shown(missing.join(' | '))}`)
  if (added.length > 0) lines.push(`${place}: only ours has ${shown(added.join(' | '))}`)
  if (missing.length + added.length === 0) lines.push(`${place}: fields repeat differently or in another order`)
}

const shown = (text = 'nothing'): string =>
  text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}…` : text
