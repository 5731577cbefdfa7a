/**
 * Header matchers of routes and policies. Of several fields of one name each is judged for itself and any of them may
 * match, as in Envoy 1.40; an inverted matcher wants none of them to. So a second field can neither hide the first from
 * a DENY nor turn an inverted match.
 */
import type { HeaderMatch } from '../../model/config.ts'
import type { HeaderList, RequestHead } from '../message.ts'
import { compileString } from './strings.ts'

export type HeadTest = (head: RequestHead) => boolean

/** Of a response: there are no pseudo-headers. */
export type FieldsTest = (headers: HeaderList) => boolean

export function compileHeader(match: HeaderMatch): HeadTest {
  const { name } = match
  if (isPseudo(name)) {
    const test = compileSingle(match)
    return (head) => test(fieldOf(head, name))
  }
  const test = compileFields(match)
  return (head) => test(head.headers)
}

export function compileFields(match: HeaderMatch): FieldsTest {
  const { name, is } = match
  const invert = match.invert === true
  if (is.kind === 'present') {
    const wanted = is.present !== invert
    return (headers) => hasField(headers, name) === wanted
  }
  const test = valueTest(is)
  // Without the field nothing matches, inverted or not, unless its absence counts as an empty value.
  const whenMissing = match.missingIsEmpty === true && test('') !== invert
  return (headers) => {
    let found = false
    for (let index = 0; index < headers.length; index += 2) {
      if (headers[index] !== name) continue
      if (test(headers[index + 1] ?? '')) return !invert
      found = true
    }
    return found ? invert : whenMissing
  }
}

/** Of what there is one at most. */
function compileSingle(match: HeaderMatch): (value: string | undefined) => boolean {
  const { is } = match
  const invert = match.invert === true
  if (is.kind === 'present') {
    const wanted = is.present !== invert
    return (value) => (value !== undefined) === wanted
  }
  const test = valueTest(is)
  const missing = match.missingIsEmpty === true ? '' : undefined
  return (value = missing) => value !== undefined && test(value) !== invert
}

const valueTest = (is: Exclude<HeaderMatch['is'], { kind: 'present' }>): ((value: string) => boolean) =>
  is.kind === 'range' ? rangeTest(is.from, is.to) : compileString(is)

function hasField(headers: HeaderList, name: string): boolean {
  for (let index = 0; index < headers.length; index += 2) if (headers[index] === name) return true
  return false
}

/** What the codec takes out of the fields. */
const isPseudo = (name: string): boolean => name.startsWith(':') || name === 'host' || name === 'content-length'

/** Undefined: no conditions, so that the common route costs nothing here. */
export function compileHeaders(matches: readonly HeaderMatch[] | undefined): HeadTest | undefined {
  if (matches === undefined || matches.length === 0) return undefined
  const tests = matches.map(compileHeader)
  return (head) => tests.every((test) => test(head))
}

function rangeTest(from: number, to: number): (text: string) => boolean {
  return (text) => {
    if (!/^[+-]?[0-9]{1,15}$/.test(text)) return false
    const value = Number(text)
    return value >= from && value < to
  }
}

/** What the codec took out of the fields is read from where it put it. */
export function fieldOf(head: RequestHead, name: string): string | undefined {
  switch (name) {
    case ':method':
      return head.method
    case ':path':
      return head.path
    case ':authority':
    case 'host':
      return head.authority
    case ':scheme':
      return head.scheme
    case 'content-length':
      return head.bodyLength < 0 ? undefined : String(head.bodyLength)
    default:
      return joinedField(head.headers, name)
  }
}

/** Several fields of one name as one value (RFC 9110 §5.3). */
export function joinedField(headers: HeaderList, name: string): string | undefined {
  let joined: string | undefined
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue
    const value = headers[index + 1] ?? ''
    joined = joined === undefined ? value : `${joined},${value}`
  }
  return joined
}
