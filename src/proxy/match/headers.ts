/**
 * Header matchers of routes and policies. Several fields of one name are one value joined by commas, as Envoy joins
 * them, so that a second field cannot hide what the first says.
 */
import type { HeaderMatch } from '../../model/config.ts'
import type { HeaderList, RequestHead } from '../message.ts'
import { compileString } from './strings.ts'

export type HeadTest = (head: RequestHead) => boolean

/** Of a response: there are no pseudo-headers. */
export type FieldsTest = (headers: HeaderList) => boolean

export function compileHeader(match: HeaderMatch): HeadTest {
  const test = compileValue(match)
  const { name } = match
  return (head) => test(fieldOf(head, name))
}

export function compileFields(match: HeaderMatch): FieldsTest {
  const test = compileValue(match)
  const { name } = match
  return (headers) => test(joinedField(headers, name))
}

function compileValue(match: HeaderMatch): (value: string | undefined) => boolean {
  const { is } = match
  const invert = match.invert === true
  if (is.kind === 'present') {
    const wanted = is.present !== invert
    return (value) => (value !== undefined) === wanted
  }
  const test = is.kind === 'range' ? rangeTest(is.from, is.to) : compileString(is)
  const missing = match.missingIsEmpty === true ? '' : undefined
  return (value = missing) => value !== undefined && test(value) !== invert
}

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

export function joinedField(headers: HeaderList, name: string): string | undefined {
  let joined: string | undefined
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== name) continue
    const value = headers[index + 1] ?? ''
    joined = joined === undefined ? value : `${joined},${value}`
  }
  return joined
}
