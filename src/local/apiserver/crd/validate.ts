/**
 * Validates a value against a schema and says what is wrong in the API server's words. Not evaluated: CEL rules
 * (structural.ts) and formats that the server does not enforce.
 */
import { RE2JS } from 're2js'
import type { JsonSchema } from '../openapi/json-schema.ts'
import { DEPTH_MAX, isObject, type JsonObject, same } from '../patch/json-value.ts'
import {
  duplicate,
  type FieldError,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
  typeInvalid,
} from './field-error.ts'
import { fitsInteger, hasFormat } from './formats.ts'
import { deref, member, propertyOf } from './schema-walk.ts'

/** More would only be scrolled past; it also bounds the work on an absurd object. */
const ERRORS_MAX = 100

/** What was found so far, and how deep the walk is: built-in types may refer to themselves without end. */
class Findings {
  readonly errors: FieldError[] = []
  depth = 0

  push(...errors: readonly FieldError[]): void {
    this.errors.push(...errors)
  }
}

export function validate(schema: JsonSchema, value: unknown, path = ''): FieldError[] {
  const findings = new Findings()
  check(schema, value, path, findings)
  return findings.errors.slice(0, ERRORS_MAX)
}

function check(schema: JsonSchema, value: unknown, path: string, findings: Findings): void {
  if (findings.errors.length >= ERRORS_MAX) return
  const resolved = deref(schema)
  if (value === null && resolved.nullable === true) return
  const wrong = findings.depth < DEPTH_MAX ? wrongType(resolved, value, path) : tooDeep(path)
  if (wrong !== undefined) {
    findings.push(wrong)
    return
  }
  findings.depth += 1
  if (typeof value === 'string') checkString(resolved, value, path, findings)
  else if (typeof value === 'number') checkNumber(resolved, value, path, findings)
  else if (Array.isArray(value)) checkArray(resolved, value, path, findings)
  else if (isObject(value)) checkObject(resolved, value, path, findings)
  if (resolved.enum !== undefined && !resolved.enum.some((allowed) => same(allowed, value)))
    findings.push(notSupported(path, value, resolved.enum))
  checkCombinations(resolved, value, path, findings)
  findings.depth -= 1
}

function tooDeep(path: string): FieldError {
  const shown = `${path.slice(0, 200)}…`
  return typeInvalid(shown, undefined, `${shown} in body is nested more than ${DEPTH_MAX} levels deep`)
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

function wrongType(schema: JsonSchema, value: unknown, path: string): FieldError | undefined {
  const actual = typeName(value)
  const intOrString = schema['x-kubernetes-int-or-string'] === true
  const expected = intOrString ? 'integer,string' : (schema.type ?? '')
  const fits =
    expected === '' ||
    actual === expected ||
    (expected === 'number' && actual === 'integer') ||
    (intOrString && (actual === 'integer' || actual === 'string'))
  if (!fits) return typeInvalid(path, actual, `${named(path)} in body must be of type ${expected}: "${actual}"`)
  // A quantity is the one format without a type.
  if (schema.format !== 'quantity' || typeof value === 'number' || typeof value === 'string') return undefined
  return typeInvalid(path, actual, `${named(path)} in body must be of type quantity: "${actual}"`)
}

const named = (path: string): string => (path === '' ? '""' : path)
const complaint = (path: string, value: unknown, text: string): FieldError =>
  invalid(path, value, `${named(path)} in body ${text}`)

function checkString(schema: JsonSchema, value: string, path: string, findings: Findings): void {
  const { minLength, maxLength, pattern, format } = schema
  if (maxLength !== undefined || minLength !== undefined) {
    const length = codePoints(value)
    if (maxLength !== undefined && length > maxLength) findings.push(tooLong(path, maxLength))
    if (minLength !== undefined && length < minLength)
      findings.push(complaint(path, value, `should be at least ${minLength} chars long`))
  }
  if (pattern !== undefined && compilePattern(pattern)?.matcher(value).find() === false)
    findings.push(complaint(path, value, `should match '${pattern}'`))
  if (format !== undefined && !hasFormat(format, value))
    findings.push(
      typeInvalid(path, value, `${named(path)} in body must be of type ${format}: ${JSON.stringify(value)}`),
    )
}

/** Lengths count code points, not UTF-16 units. */
function codePoints(text: string): number {
  let pairs = 0
  for (let at = 0; at < text.length; at += 1) {
    const isPair = (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
    if (isPair) pairs += 1
  }
  return text.length - pairs
}

const patterns = new Map<string, RE2JS | undefined>()
/** Patterns of all CRDs of a server are a few hundred; beyond this the oldest go. */
const PATTERNS_MAX = 2_000

/** Undefined for a pattern that RE2 refuses; validate-crd.ts keeps those out. */
export function compilePattern(pattern: string): RE2JS | undefined {
  if (patterns.has(pattern)) return patterns.get(pattern)
  let compiled: RE2JS | undefined
  try {
    compiled = RE2JS.compile(pattern)
  } catch {
    compiled = undefined
  }
  const [oldest] = patterns.keys()
  if (patterns.size >= PATTERNS_MAX && oldest !== undefined) patterns.delete(oldest)
  patterns.set(pattern, compiled)
  return compiled
}

function checkNumber(schema: JsonSchema, value: number, path: string, findings: Findings): void {
  const { minimum, maximum, multipleOf, format } = schema
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum)) {
    const relation = schema.exclusiveMinimum === true ? 'greater than' : 'greater than or equal to'
    findings.push(complaint(path, value, `should be ${relation} ${minimum}`))
  }
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum)) {
    const relation = schema.exclusiveMaximum === true ? 'less than' : 'less than or equal to'
    findings.push(complaint(path, value, `should be ${relation} ${maximum}`))
  }
  if (multipleOf !== undefined && multipleOf > 0 && !isMultiple(value, multipleOf))
    findings.push(complaint(path, value, `should be a multiple of ${multipleOf}`))
  if (Number.isInteger(value) && !fitsInteger(format, value))
    findings.push(typeInvalid(path, value, `${named(path)} in body must be of type ${format}: "${value}"`))
}

/** 0.3 is a multiple of 0.1 although the division of doubles says 2.9999999999999996. */
function isMultiple(value: number, factor: number): boolean {
  const quotient = value / factor
  return Math.abs(quotient - Math.round(quotient)) <= Number.EPSILON * Math.max(1, Math.abs(quotient))
}

function checkArray(schema: JsonSchema, value: readonly unknown[], path: string, findings: Findings): void {
  const { minItems, maxItems, items } = schema
  if (maxItems !== undefined && value.length > maxItems) findings.push(tooMany(path, value.length, maxItems))
  if (minItems !== undefined && value.length < minItems)
    findings.push(complaint(path, value.length, `should have at least ${minItems} items`))
  if (items !== undefined) value.forEach((item, index) => check(items, item, `${path}[${index}]`, findings))
  const listType = schema['x-kubernetes-list-type']
  if (listType === 'set') checkUnique(value, path, findings)
  else if (listType === 'map') {
    const keys = schema['x-kubernetes-list-map-keys'] ?? []
    checkUnique(
      value.map((item) => (isObject(item) ? keyOf(item, keys) : undefined)),
      path,
      findings,
    )
  }
}

function keyOf(item: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(keys.filter((key) => Object.hasOwn(item, key)).map((key) => [key, item[key]]))
}

function checkUnique(values: readonly unknown[], path: string, findings: Findings): void {
  const seen = new Set<string>()
  values.forEach((value, index) => {
    const text = canonical(value)
    if (seen.has(text)) findings.push(duplicate(`${path}[${index}]`, value))
    seen.add(text)
  })
}

/** JSON with sorted members, so that equal values have equal texts. */
function canonical(value: unknown): string {
  const sorted = (_: string, inner: unknown): unknown =>
    isObject(inner) ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1))) : inner
  return JSON.stringify(value, sorted) ?? ''
}

function checkObject(schema: JsonSchema, value: JsonObject, path: string, findings: Findings): void {
  const { minProperties, maxProperties, additionalProperties } = schema
  const additional = typeof additionalProperties === 'object' ? additionalProperties : undefined
  const names = Object.keys(value)
  if (maxProperties !== undefined && names.length > maxProperties)
    findings.push(tooMany(path, names.length, maxProperties))
  if (minProperties !== undefined && names.length < minProperties)
    findings.push(complaint(path, names.length, `should have at least ${minProperties} properties`))
  for (const name of schema.required ?? []) if (!Object.hasOwn(value, name)) findings.push(required(member(path, name)))
  for (const name of names) {
    const specified = propertyOf(schema, name) ?? additional
    if (specified !== undefined) check(specified, value[name], member(path, name), findings)
  }
  if (schema['x-kubernetes-embedded-resource'] === true) checkEmbedded(value, path, findings)
}

function checkEmbedded(value: JsonObject, path: string, findings: Findings): void {
  for (const name of ['apiVersion', 'kind']) {
    const present = Object.hasOwn(value, name) ? value[name] : ''
    if (typeof present !== 'string' || present === '') findings.push(required(member(path, name), 'must not be empty'))
  }
}

function checkCombinations(schema: JsonSchema, value: unknown, path: string, findings: Findings): void {
  const { allOf, anyOf, oneOf, not } = schema
  for (const part of allOf ?? []) check(part, value, path, findings)
  if (anyOf !== undefined && anyOf.length > 0) {
    const failures = anyOf.map((part) => validate(part, value, path))
    if (failures.every((failure) => failure.length > 0)) {
      findings.push(complaint(path, shown(value), 'must validate at least one schema (anyOf)'), ...shortest(failures))
    }
  }
  if (oneOf !== undefined && oneOf.length > 0) {
    const failures = oneOf.map((part) => validate(part, value, path))
    const valid = failures.filter((failure) => failure.length === 0).length
    const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`
    if (valid !== 1) {
      findings.push(complaint(path, shown(value), `must validate one and only one schema (oneOf). ${found}`))
      if (valid === 0) findings.push(...shortest(failures))
    }
  }
  if (not !== undefined && validate(not, value, path).length === 0)
    findings.push(complaint(path, shown(value), 'must not validate the schema (not)'))
}

/** Whole objects are not repeated in messages. */
const shown = (value: unknown): unknown => (typeof value === 'object' && value !== null ? typeName(value) : value)

/** The alternative that nearly fitted says most about what was meant. */
function shortest(failures: readonly FieldError[][]): readonly FieldError[] {
  return failures.reduce<readonly FieldError[]>(
    (best, failure) => (best.length === 0 || failure.length < best.length ? failure : best),
    [],
  )
}
