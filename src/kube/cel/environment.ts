/**
 * The functions that Kubernetes adds to CEL for CRDs and admission (apiserver's cel library): regular expressions in
 * linear time, URLs, IP addresses and CIDRs, named formats, lists, sets and quantities. Not offered: the authorizer, and
 * comprehensions of two variables.
 */
import { isIP } from 'node:net'
import { Environment, Optional } from '@marcbachmann/cel-js'
import { compileRegex, type Regex } from '../../runtime/regex.ts'
import { FORMATS } from './formats.ts'
import { parseCidr } from './networks.ts'
import { presence } from './presence.ts'

class Url {
  readonly url: URL
  constructor(text: string) {
    this.url = new URL(text)
  }
}
class Format {
  readonly name: keyof typeof FORMATS
  constructor(name: keyof typeof FORMATS) {
    this.name = name
  }
}
/** What `format` and `sets` are bound to: CEL has methods on values only. */
class Library {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}
class Formats extends Library {}
class Sets extends Library {}

const environments = new Map<string, Environment>()

export function kubernetesEnvironment(variables: readonly string[]): Environment {
  const key = variables.join(' ')
  const known = environments.get(key)
  if (known !== undefined) return known
  const environment = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false })
  for (const variable of variables) environment.registerVariable(variable, 'dyn')
  for (const register of [presence, texts, urls, addresses, formats, lists, sets, quantities]) register(environment)
  environments.set(key, environment)
  return environment
}

const regexes = new Map<string, Regex>()
/** Patterns in rules are few; those computed by a rule must not pile up. */
const REGEXES_MAX = 1_000

function regexOf(pattern: string): Regex {
  const known = regexes.get(pattern)
  if (known !== undefined) return known
  const compiled = compileRegex(pattern)
  if (regexes.size >= REGEXES_MAX) regexes.clear()
  regexes.set(pattern, compiled)
  return compiled
}

function texts(environment: Environment): void {
  const all = (text: string, pattern: string, most: number): string[] => {
    const matcher = regexOf(pattern).matcher(text)
    const found: string[] = []
    while (found.length < most && matcher.find()) found.push(matcher.group() ?? '')
    return found
  }
  environment
    .registerFunction('string.re2(string): bool', (text: string, pattern: string) =>
      regexOf(pattern).matcher(text).find(),
    )
    .registerFunction('string.find(string): string', (text: string, pattern: string) => all(text, pattern, 1)[0] ?? '')
    .registerFunction('string.findAll(string): list<string>', (text: string, pattern: string) =>
      all(text, pattern, Number.MAX_SAFE_INTEGER),
    )
    .registerFunction('string.findAll(string, int): list<string>', (text: string, pattern: string, most: bigint) =>
      all(text, pattern, most < 0n ? Number.MAX_SAFE_INTEGER : Number(most)),
    )
    .registerFunction('string.replace(string, string): string', (text: string, from: string, to: string) =>
      text.replaceAll(from, () => to),
    )
    .registerFunction('string.charAt(int): string', (text: string, at: bigint) => text.charAt(Number(at)))
    .registerFunction('string.reverse(): string', (text: string) => Array.from(text).reverse().join(''))
}

function urls(environment: Environment): void {
  environment
    .registerType('kubernetes.URL', Url)
    .registerFunction('isURL(string): bool', (text: string) => URL.canParse(text))
    .registerFunction('url(string): kubernetes.URL', (text: string) => new Url(text))
  const parts: Readonly<Record<string, (url: URL) => string>> = {
    getScheme: ({ protocol }) => protocol.slice(0, -1),
    getHost: ({ host }) => host,
    getHostname: ({ hostname }) => hostname.replace(/^\[|\]$/g, ''),
    getPort: ({ port }) => port,
    getEscapedPath: ({ pathname }) => pathname,
  }
  for (const [name, read] of Object.entries(parts)) {
    environment.registerFunction(`kubernetes.URL.${name}(): string`, ({ url }: Url) => read(url))
  }
}

function addresses(environment: Environment): void {
  environment
    .registerFunction('isIP(string): bool', (text: string) => isIP(text) !== 0)
    .registerFunction('isCIDR(string): bool', (text: string) => parseCidr(text) !== undefined)
}

function formats(environment: Environment): void {
  environment
    .registerType('kubernetes.Format', Format)
    .registerType('kubernetes.Formats', Formats)
    .registerConstant('format', 'kubernetes.Formats', new Formats('format'))
    .registerFunction(
      'kubernetes.Format.validate(string): optional<list<string>>',
      ({ name }: Format, text: string) => {
        const { fits, flaw } = FORMATS[name]
        return fits(text) ? Optional.none() : Optional.of([flaw])
      },
    )
  for (const name of Object.keys(FORMATS) as (keyof typeof FORMATS)[]) {
    environment.registerFunction(`kubernetes.Formats.${name}(): kubernetes.Format`, () => new Format(name))
  }
}

type Ordered = string | number | bigint

function lists(environment: Environment): void {
  const ends = (list: readonly Ordered[], isBetter: (a: Ordered, b: Ordered) => boolean): Ordered => {
    const [first, ...rest] = list
    if (first === undefined) throw new RangeError('min or max of an empty list')
    return rest.reduce((best, one) => (isBetter(one, best) ? one : best), first)
  }
  const same = (wanted: unknown) => (one: unknown) => keyOf(one) === keyOf(wanted)
  environment
    .registerFunction('list.isSorted(): bool', (list: readonly Ordered[]) =>
      list.every((one, index) => index === 0 || (list[index - 1] ?? one) <= one),
    )
    .registerFunction('list.sum(): dyn', (list: readonly (bigint | number)[]) => sum(list))
    .registerFunction('list.min(): dyn', (list: readonly Ordered[]) => ends(list, (a, b) => a < b))
    .registerFunction('list.max(): dyn', (list: readonly Ordered[]) => ends(list, (a, b) => a > b))
    .registerFunction('list.indexOf(dyn): int', (list: readonly unknown[], wanted: unknown) =>
      BigInt(list.findIndex(same(wanted))),
    )
    .registerFunction('list.lastIndexOf(dyn): int', (list: readonly unknown[], wanted: unknown) =>
      BigInt(list.findLastIndex(same(wanted))),
    )
}

/** Integers are bigint here; an empty list sums to the integer zero. */
function sum(list: readonly (bigint | number)[]): bigint | number {
  let whole = 0n
  for (const one of list) {
    if (typeof one !== 'bigint') return list.reduce<number>((total, value) => total + Number(value), 0)
    whole += one
  }
  return whole
}

function sets(environment: Environment): void {
  const keys = (list: readonly unknown[]): Set<string> => new Set(list.map(keyOf))
  const every = (part: readonly unknown[], known: ReadonlySet<string>): boolean =>
    part.every((one) => known.has(keyOf(one)))
  const contains = (list: readonly unknown[], part: readonly unknown[]): boolean => every(part, keys(list))
  environment
    .registerType('kubernetes.Sets', Sets)
    .registerConstant('sets', 'kubernetes.Sets', new Sets('sets'))
    .registerFunction('kubernetes.Sets.contains(list, list): bool', (_: Sets, list: unknown[], part: unknown[]) =>
      contains(list, part),
    )
    .registerFunction(
      'kubernetes.Sets.equivalent(list, list): bool',
      (_: Sets, a: unknown[], b: unknown[]) => contains(a, b) && contains(b, a),
    )
    .registerFunction('kubernetes.Sets.intersects(list, list): bool', (_: Sets, a: unknown[], b: unknown[]) =>
      a.some((one) => keys(b).has(keyOf(one))),
    )
}

/** Equal values have equal keys; numbers of both kinds compare as numbers, as CEL has it. */
function keyOf(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? Number(inner) : inner)) ?? 'null'
}

/** apimachinery's resource.Quantity: a decimal with an SI or binary suffix, or an exponent. */
const QUANTITY = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?$/

function quantities(environment: Environment): void {
  environment.registerFunction('isQuantity(string): bool', (text: string) => QUANTITY.test(text))
}
