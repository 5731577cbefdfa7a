/**
 * `x-kubernetes-validations` of a structural schema on an object: every rule at every place where it applies, with
 * oldSelf where the old object has that place (apiextensions' cel package; reference k8s-wire, section 8). The API
 * server of local clusters and `isthmus validate` run the same.
 */
import { isRecord } from '../advice/fields.ts'
import type { JsonSchema } from '../kinds.ts'
import { CelError, compileExpression, type Expression } from './expression.ts'
import { celValue } from './value.ts'

export interface CelFlaw {
  /** `spec.http[0]` */
  readonly path: string
  readonly message: string
  /** FieldValueInvalid when the rule says nothing else. */
  readonly reason: string
}

interface CompiledRule {
  readonly rule: Expression
  readonly message: Expression | undefined
  readonly text: string
  readonly reason: string
  readonly path: string
}

type Rules = NonNullable<JsonSchema['x-kubernetes-validations']>

const VARIABLES = ['self', 'oldSelf']
const MESSAGE_CHARS_MAX = 5_120
/** More would only be scrolled past, and each costs time. */
const FLAWS_MAX = 20

const compiled = new WeakMap<Rules, readonly CompiledRule[]>()
/** Schemas without a rule anywhere below are not walked. */
const silent = new WeakMap<JsonSchema, boolean>()

/** What is wrong with the rules themselves, by path below the schema; an API server refuses such a definition. */
export function ruleProblems(schema: JsonSchema, path: string): readonly { path: string; message: string }[] {
  const problems: { path: string; message: string }[] = []
  for (const [index, { rule, messageExpression }] of (schema['x-kubernetes-validations'] ?? []).entries()) {
    const where = `${path}.x-kubernetes-validations[${index}]`
    problems.push(...problemOf(rule, `${where}.rule`))
    if (messageExpression !== undefined) problems.push(...problemOf(messageExpression, `${where}.messageExpression`))
  }
  for (const [name, inner] of membersOf(schema)) problems.push(...ruleProblems(inner, `${path}.${name}`))
  return problems
}

function problemOf(source: string, path: string): readonly { path: string; message: string }[] {
  try {
    compileExpression(source, VARIABLES)
    return []
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return [{ path, message: error.message }]
  }
}

function membersOf({
  properties,
  items,
  additionalProperties,
}: JsonSchema): readonly (readonly [string, JsonSchema])[] {
  return [
    ...Object.entries(properties ?? {}).map(([name, inner]) => [`properties[${name}]`, inner] as const),
    ...(items === undefined ? [] : [['items', items] as const]),
    ...(typeof additionalProperties === 'object' ? [['additionalProperties', additionalProperties] as const] : []),
  ]
}

/** The object must fit the schema otherwise. */
export function celFlaws(schema: JsonSchema, object: unknown, old?: unknown): readonly CelFlaw[] {
  const flaws: CelFlaw[] = []
  walk({ schema: wholeObject(schema), value: object, old, path: '' }, flaws)
  return flaws
}

const whole = new WeakMap<JsonSchema, JsonSchema>()

/** Rules may name the kind and the object's name, whether or not the definition lists them. */
function wholeObject(schema: JsonSchema): JsonSchema {
  const known = whole.get(schema)
  if (known !== undefined) return known
  const text: JsonSchema = { type: 'string' }
  const metadata: JsonSchema = { type: 'object', properties: { name: text, generateName: text } }
  const made = { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } }
  whole.set(schema, made)
  return made
}

interface Place {
  readonly schema: JsonSchema
  readonly value: unknown
  /** undefined where there is none, or none that could be told to be the same. */
  readonly old: unknown
  readonly path: string
}

function walk(place: Place, flaws: CelFlaw[]): void {
  const { schema, value } = place
  if (flaws.length >= FLAWS_MAX || value === null || value === undefined || isSilent(schema)) return
  judge(place, flaws)
  if (Array.isArray(value)) walkList(place, value, flaws)
  else if (isRecord(value)) walkMembers(place, value, flaws)
}

function walkList({ schema, old, path }: Place, value: readonly unknown[], flaws: CelFlaw[]): void {
  const { items } = schema
  if (items === undefined) return
  const before = correlated(schema, old)
  value.forEach((inner, index) =>
    walk({ schema: items, value: inner, old: before(inner), path: `${path}[${index}]` }, flaws),
  )
}

function walkMembers({ schema, old, path }: Place, value: Readonly<Record<string, unknown>>, flaws: CelFlaw[]): void {
  const { properties = {}, additionalProperties } = schema
  const additional = typeof additionalProperties === 'object' ? additionalProperties : undefined
  for (const [name, inner] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : additional
    if (known === undefined) continue
    const before = isRecord(old) && Object.hasOwn(old, name) ? old[name] : undefined
    const member = properties === undefined || known === additional ? `${path}[${name}]` : join(path, name)
    walk({ schema: known, value: inner, old: before, path: member }, flaws)
  }
}

const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

/** Elements of a list are the same ones only where its keys say so. */
function correlated(schema: JsonSchema, old: unknown): (item: unknown) => unknown {
  const keys = schema['x-kubernetes-list-map-keys']
  if (schema['x-kubernetes-list-type'] !== 'map' || keys === undefined || !Array.isArray(old)) return () => undefined
  const keyOf = (item: unknown): string => JSON.stringify(keys.map((key) => (isRecord(item) ? item[key] : undefined)))
  const byKey = new Map(old.map((item: unknown) => [keyOf(item), item]))
  return (item) => byKey.get(keyOf(item))
}

function judge({ schema, value, old, path }: Place, flaws: CelFlaw[]): void {
  const rules = compiledRules(schema)
  if (rules.length === 0) return
  const variables: Record<string, unknown> = { self: celValue(schema, value) }
  if (old !== undefined) variables['oldSelf'] = celValue(schema, old)
  for (const one of rules) {
    // A transition rule has nothing to say where nothing was before.
    if (old === undefined && one.rule.uses('oldSelf')) continue
    const message = failureOf(one, variables)
    if (message === undefined) continue
    flaws.push({ path: one.path === '' ? path : `${path}${one.path}`, message, reason: one.reason })
  }
}

/** A rule that cannot be evaluated refuses, as the API server does. */
function failureOf({ rule, message, text }: CompiledRule, variables: Record<string, unknown>): string | undefined {
  try {
    if (rule.evaluate(variables) === true) return undefined
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return `rule evaluation error: ${error.message}`
  }
  if (message === undefined) return text
  try {
    const said = message.evaluate(variables)
    return typeof said === 'string' && said.trim() !== '' ? said.slice(0, MESSAGE_CHARS_MAX) : text
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return text
  }
}

function compiledRules(schema: JsonSchema): readonly CompiledRule[] {
  const rules = schema['x-kubernetes-validations']
  if (rules === undefined) return []
  const known = compiled.get(rules)
  if (known !== undefined) return known
  const made = rules.map(({ rule, message, messageExpression, reason = 'FieldValueInvalid', fieldPath = '' }) => ({
    rule: compileExpression(rule, VARIABLES),
    message: messageExpression === undefined ? undefined : compileExpression(messageExpression, VARIABLES),
    text: message ?? `failed rule: ${rule}`,
    reason,
    path: fieldPath,
  }))
  compiled.set(rules, made)
  return made
}

function isSilent(schema: JsonSchema): boolean {
  const known = silent.get(schema)
  if (known !== undefined) return known
  const answer =
    (schema['x-kubernetes-validations'] ?? []).length === 0 && membersOf(schema).every(([, inner]) => isSilent(inner))
  silent.set(schema, answer)
  return answer
}
