/**
 * The part of CEL that access-log filters can say: comparisons of the status, the duration, method, path, host and
 * headers, joined by `&&`, `||` and `!`. Everything else is refused in words, never half understood. Pure and bounded.
 */
import type { HeaderMatch, LogFilter } from '../model/config.ts'
import { istioDurationMs } from './durations.ts'

const LENGTH_MAX = 4_096
const DEPTH_MAX = 32

export type LogExpression = { readonly filter: LogFilter } | { readonly problem: string }

export function parseLogExpression(text: string): LogExpression {
  if (text.length > LENGTH_MAX) return { problem: `is longer than ${LENGTH_MAX} characters` }
  try {
    const reader = new Reader(tokensOf(text))
    const filter = reader.either(false, 0)
    reader.end()
    return { filter }
  } catch (error) {
    if (error instanceof NotUnderstood) return { problem: error.message }
    throw error
  }
}

class NotUnderstood extends Error {}

const TOKEN = /\s*(&&|\|\||==|!=|>=|<=|[!()<>[\].,]|"[^"\\]*"|'[^'\\]*'|[0-9]+|[A-Za-z_][A-Za-z0-9_]*)/y

function tokensOf(text: string): readonly string[] {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  const whole = text.trimEnd()
  while (TOKEN.lastIndex < whole.length) {
    const at = TOKEN.lastIndex
    const [, token] = TOKEN.exec(whole) ?? []
    if (token === undefined) throw new NotUnderstood(`is not understood at character ${at + 1}`)
    tokens.push(token)
  }
  return tokens
}

type Op = '==' | '!=' | '>=' | '<=' | '>' | '<'
const OPS: ReadonlySet<string> = new Set(['==', '!=', '>=', '<=', '>', '<'])
const OPPOSITE: Readonly<Record<Op, Op>> = { '==': '!=', '!=': '==', '>=': '<', '<=': '>', '>': '<=', '<': '>=' }

/** `not` is pushed down to the comparisons, since a filter cannot say it. */
class Reader {
  readonly #tokens: readonly string[]
  #at = 0

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens
  }

  end(): void {
    const token = this.#tokens[this.#at]
    if (token !== undefined) throw new NotUnderstood(`has ${token} where it should end`)
  }

  either(not: boolean, depth: number): LogFilter {
    return this.#joined('||', not, () => this.#both(not, depth))
  }

  #both(not: boolean, depth: number): LogFilter {
    return this.#joined('&&', not, () => this.#one(not, depth))
  }

  #joined(operator: '||' | '&&', not: boolean, part: () => LogFilter): LogFilter {
    const filters = [part()]
    while (this.#take(operator)) filters.push(part())
    const [only] = filters
    if (filters.length === 1 && only !== undefined) return only
    return { kind: (operator === '||') === not ? 'and' : 'or', filters }
  }

  #one(not: boolean, depth: number): LogFilter {
    if (depth > DEPTH_MAX) throw new NotUnderstood('is nested too deeply')
    if (this.#take('!')) return this.#one(!not, depth + 1)
    if (this.#take('(')) {
      const inner = this.either(not, depth + 1)
      this.#need(')')
      return inner
    }
    if (this.#take('has')) return this.#has(not)
    const attribute = this.#attribute()
    if (this.#take('.')) return this.#call(attribute, not)
    const operator = this.#next()
    if (!isOp(operator)) throw new NotUnderstood(`has ${operator} where a comparison should be`)
    return compare(
      attribute,
      not ? OPPOSITE[operator] : operator,
      () => this.#next(),
      (token) => this.#need(token),
    )
  }

  /** `has(request.headers['x'])` */
  #has(not: boolean): LogFilter {
    this.#need('(')
    const attribute = this.#attribute()
    this.#need(')')
    if (attribute.kind !== 'header') throw new NotUnderstood('asks has() of something else than a header')
    return { kind: 'header', header: { name: attribute.name, is: { kind: 'present', present: !not } } }
  }

  /** `.startsWith("x")`, `.endsWith`, `.contains` */
  #call(attribute: Attribute, not: boolean): LogFilter {
    const name = this.#next()
    const kind = CALLS.get(name)
    if (kind === undefined || attribute.kind === 'number')
      throw new NotUnderstood(`calls ${name}, which is not supported`)
    this.#need('(')
    const value = textOf(this.#next())
    this.#need(')')
    if (attribute.kind === 'path' && kind !== 'prefix')
      throw new NotUnderstood(`calls ${name} on a path, which is not supported`)
    return headerFilter(attribute, { kind, value }, not)
  }

  #attribute(): Attribute {
    const words = [this.#next()]
    while (this.#tokens[this.#at] === '.' && !CALLS.has(this.#tokens[this.#at + 1] ?? '')) {
      this.#at++
      words.push(this.#next())
    }
    const name = words.join('.')
    if (name === 'request.headers' && this.#take('[')) {
      const header = textOf(this.#next()).toLowerCase()
      this.#need(']')
      return { kind: 'header', name: header }
    }
    const known = ATTRIBUTES.get(name)
    if (known === undefined) throw new NotUnderstood(`asks for ${name}, which is not supported`)
    return known
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false
    this.#at++
    return true
  }

  #need(token: string): void {
    if (!this.#take(token)) throw new NotUnderstood(`lacks ${token}`)
  }

  #next(): string {
    const token = this.#tokens[this.#at++]
    if (token === undefined) throw new NotUnderstood('ends too early')
    return token
  }
}

type Attribute =
  | { readonly kind: 'number'; readonly of: 'status' | 'duration' }
  /** A header of the request by that name, or one of its pseudo-headers. */
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'path' }

const ATTRIBUTES: ReadonlyMap<string, Attribute> = new Map<string, Attribute>([
  ['response.code', { kind: 'number', of: 'status' }],
  ['request.duration', { kind: 'number', of: 'duration' }],
  ['request.method', { kind: 'header', name: ':method' }],
  ['request.host', { kind: 'header', name: ':authority' }],
  ['request.path', { kind: 'header', name: ':path' }],
  ['request.url_path', { kind: 'path' }],
])
const CALLS: ReadonlyMap<string, 'prefix' | 'suffix' | 'contains'> = new Map([
  ['startsWith', 'prefix'],
  ['endsWith', 'suffix'],
  ['contains', 'contains'],
])

const isOp = (token: string): token is Op => OPS.has(token)

function compare(attribute: Attribute, op: Op, next: () => string, need: (token: string) => void): LogFilter {
  if (attribute.kind !== 'number') {
    if (op !== '==' && op !== '!=') throw new NotUnderstood(`compares a text with ${op}`)
    return headerFilter(attribute, { kind: 'exact', value: textOf(next()) }, op === '!=')
  }
  const token = next()
  if (attribute.of === 'status') return numberFilter('status', op, integerOf(token))
  if (token !== 'duration') throw new NotUnderstood('compares a duration with something else than duration("…")')
  need('(')
  const ms = istioDurationMs(textOf(next()))
  need(')')
  if (ms === undefined || ms < 0) throw new NotUnderstood('has a duration that cannot be read')
  return numberFilter('duration', op, Math.round(ms))
}

function numberFilter(kind: 'status' | 'duration', op: Op, value: number): LogFilter {
  const at = (name: 'eq' | 'ge' | 'le', number: number): LogFilter => ({ kind, op: name, value: number })
  switch (op) {
    case '==':
      return at('eq', value)
    case '!=':
      return { kind: 'or', filters: [at('le', value - 1), at('ge', value + 1)] }
    case '>=':
      return at('ge', value)
    case '<=':
      return at('le', value)
    case '>':
      return at('ge', value + 1)
    case '<':
      return at('le', value - 1)
    default:
      return op satisfies never
  }
}

function headerFilter(
  attribute: Exclude<Attribute, { readonly kind: 'number' }>,
  is: { readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains'; readonly value: string },
  not: boolean,
): LogFilter {
  const invert = not ? { invert: true as const } : {}
  if (attribute.kind === 'header') return { kind: 'header', header: { name: attribute.name, is, ...invert } }
  // The path without its query, of a header that has both.
  const path: HeaderMatch['is'] = is.kind === 'prefix' ? is : { kind: 'regex', value: `${quoted(is.value)}(\\?.*)?` }
  return { kind: 'header', header: { name: ':path', is: path, ...invert } }
}

/** For RE2. */
const quoted = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')

function textOf(token: string): string {
  if (!/^["']/.test(token)) throw new NotUnderstood(`has ${token} where a text should be`)
  return token.slice(1, -1)
}

function integerOf(token: string): number {
  if (!/^[0-9]{1,9}$/.test(token)) throw new NotUnderstood(`has ${token} where a number should be`)
  return Number(token)
}
