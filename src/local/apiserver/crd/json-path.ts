/**
 * The JSONPath subset of printer columns, scale and selectable fields: `.a.b[0].c`, `['a.b']`, `.a\.b`, `[*]`,
 * `[?(@.type=="Ready")].status`. No recursion, no scripts: a path is data and costs at most one walk.
 */
type Step =
  | { readonly kind: 'member'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'filter'; readonly path: readonly Step[]; readonly operator?: string; readonly value?: unknown }

const PATH_CHARS_MAX = 1_024
const STEPS_MAX = 64

/** All values the path leads to; none for a path that is malformed or leads nowhere. */
export function evaluate(path: string, object: unknown): unknown[] {
  return follow(steps(path) ?? [{ kind: 'member', name: '' }], [object])
}

export function isJsonPath(path: string): boolean {
  return steps(path) !== undefined
}

const parsed = new Map<string, readonly Step[] | undefined>()
const PARSED_MAX = 1_000

/** Columns are evaluated once per row, hence the memory. */
function steps(path: string): readonly Step[] | undefined {
  if (parsed.has(path)) return parsed.get(path)
  const result = parse(path)
  if (parsed.size >= PARSED_MAX) parsed.clear()
  parsed.set(path, result)
  return result
}

function parse(path: string): readonly Step[] | undefined {
  if (path.length > PATH_CHARS_MAX) return undefined
  let text = path.startsWith('{') && path.endsWith('}') ? path.slice(1, -1) : path
  if (text.startsWith('$')) text = text.slice(1)
  const found: Step[] = []
  let rest = text === '.' ? '' : text
  while (rest !== '') {
    const next = rest.startsWith('[') ? parseBracket(rest) : parseMember(rest)
    if (next === undefined || found.length >= STEPS_MAX) return undefined
    found.push(next.step)
    rest = next.rest
  }
  return found
}

type Parsed = { readonly step: Step; readonly rest: string } | undefined

function parseMember(text: string): Parsed {
  const matched = /^\.((?:[^.[\]\\]|\\.)+)/.exec(text)
  if (matched === null) return undefined
  const [whole, name = ''] = matched
  const rest = text.slice(whole.length)
  if (name === '*') return { step: { kind: 'all' }, rest }
  return { step: { kind: 'member', name: name.replaceAll(/\\(.)/g, '$1') }, rest }
}

function parseBracket(text: string): Parsed {
  const index = /^\[(-?\d{1,9}|\*)\]/.exec(text)
  if (index !== null) {
    const rest = text.slice(index[0].length)
    return index[1] === '*'
      ? { step: { kind: 'all' }, rest }
      : { step: { kind: 'index', index: Number(index[1]) }, rest }
  }
  const quoted = /^\[(?:'([^']*)'|"([^"]*)")\]/.exec(text)
  if (quoted !== null) {
    const name = (quoted[1] ?? quoted[2] ?? '').replaceAll(/\\(.)/g, '$1')
    return { step: { kind: 'member', name }, rest: text.slice(quoted[0].length) }
  }
  return parseFilter(text)
}

function parseFilter(text: string): Parsed {
  const filter = /^\[\?\( *@((?:[^"'()=!<>\\]|\\.)*?) *(?:(==|!=|<=|>=|<|>) *("[^"]*"|'[^']*'|[-\w.]+) *)?\)\]/.exec(
    text,
  )
  if (filter === null) return undefined
  const [whole, inner = '', operator, literal] = filter
  const path = parse(inner)
  if (path === undefined) return undefined
  const rest = text.slice(whole.length)
  if (operator === undefined || literal === undefined) return { step: { kind: 'filter', path }, rest }
  return { step: { kind: 'filter', path, operator, value: literalOf(literal) }, rest }
}

function literalOf(text: string): unknown {
  if (text.startsWith('"') || text.startsWith("'")) return text.slice(1, -1)
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}

function follow(path: readonly Step[], start: readonly unknown[]): unknown[] {
  let values = [...start]
  for (const step of path) values = values.flatMap((value) => take(step, value))
  return values
}

function take(step: Step, value: unknown): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return []
  switch (step.kind) {
    case 'member': {
      const own = !Array.isArray(value) && Object.hasOwn(value, step.name)
      return own ? [(value as Record<string, unknown>)[step.name]] : []
    }
    case 'index': {
      const item: unknown = Array.isArray(value) ? value.at(step.index) : undefined
      return item === undefined ? [] : [item]
    }
    case 'all':
      return Object.values(value)
    default:
      return Object.values(value).filter((item) => follow(step.path, [item]).some((found) => holds(step, found)))
  }
}

function holds({ operator, value }: { operator?: string; value?: unknown }, found: unknown): boolean {
  if (operator === undefined) return true
  if (operator === '==') return found === value
  if (operator === '!=') return found !== value
  const comparable = typeof found === typeof value && (typeof found === 'number' || typeof found === 'string')
  if (!comparable) return false
  const [left, right] = [found as number, value as number]
  if (operator === '<') return left < right
  if (operator === '>') return left > right
  return operator === '<=' ? left <= right : left >= right
}
