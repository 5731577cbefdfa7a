import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { builtinSchema } from '../openapi/builtin.ts'
import type { JsonSchema } from '../openapi/json-schema.ts'
import { formatFieldErrors } from './field-error.ts'
import { compileSchema } from './structural.ts'

type Json = Record<string, unknown>

/** Messages of what is wrong with `spec` under a schema for it. */
function complaints(spec: JsonSchema, value: unknown): string[] {
  const schema = compileSchema({ type: 'object', properties: { spec } })
  const errors = schema.validate({ apiVersion: 'x.dev/v1', kind: 'Thing', metadata: { name: 't' }, spec: value })
  return errors.map((error) =>
    formatFieldErrors('Thing', 'x.dev', 't', [error]).replace('Thing.x.dev "t" is invalid: ', ''),
  )
}

function pruned(schema: JsonSchema, object: Json): { object: Json; paths: string[] } {
  const copy = structuredClone(object)
  return { paths: compileSchema(schema).prune(copy), object: copy }
}

function defaulted(schema: JsonSchema, object: Json): Json {
  const copy = structuredClone(object)
  compileSchema(schema).applyDefaults(copy)
  return copy
}

const object = (properties: Record<string, JsonSchema>, rest: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  properties,
  ...rest,
})
const text: JsonSchema = { type: 'string' }

describe('prune', () => {
  it('removes and names unknown fields, in objects, lists and maps', () => {
    const schema = object({
      spec: object({
        list: { type: 'array', items: object({ a: text }) },
        map: { type: 'object', additionalProperties: object({ a: text }) },
      }),
    })
    const result = pruned(schema, {
      spec: { x: 1, list: [{ a: '1' }, { a: '2', b: 1 }], map: { k: { a: '1', c: {} } } },
      extra: 1,
    })
    expect(result.object).toEqual({ spec: { list: [{ a: '1' }, { a: '2' }], map: { k: { a: '1' } } } })
    expect(result.paths.toSorted()).toEqual(['extra', 'spec.list[1].b', 'spec.map.k.c', 'spec.x'])
  })

  it('knows apiVersion, kind and metadata of resources, also of embedded ones', () => {
    const embedded = object({ spec: object({}) }, { 'x-kubernetes-embedded-resource': true })
    const inner = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', labels: {} }, spec: {} }
    const outer = { apiVersion: 'x.dev/v1', kind: 'Thing', metadata: { name: 't' }, pod: inner, pods: [inner] }
    const schema = object({ pod: embedded, pods: { type: 'array', items: embedded }, metadata: object({ name: text }) })
    expect(pruned(schema, outer)).toEqual({ object: outer, paths: [] })
    expect(pruned(object({ pod: object({}) }), { pod: { apiVersion: 'v1' } }).paths).toEqual(['pod.apiVersion'])
  })

  it('keeps the unknown where told to, and prunes what is specified below', () => {
    const schema = object({
      spec: object({ known: object({ a: text }) }, { 'x-kubernetes-preserve-unknown-fields': true }),
    })
    const result = pruned(schema, { spec: { free: { deep: [1] }, known: { a: '1', b: 2 } } })
    expect(result).toEqual({ object: { spec: { free: { deep: [1] }, known: { a: '1' } } }, paths: ['spec.known.b'] })
    expect(
      pruned(object({ spec: { type: 'object', additionalProperties: true } }), { spec: { a: { b: 1 } } }).paths,
    ).toEqual([])
  })

  it('takes names of the language for data', () => {
    const result = pruned(
      object({ spec: object({}) }),
      JSON.parse('{"spec":{"constructor":1,"__proto__":{"a":1},"toString":2}}') as Json,
    )
    expect(result.paths).toEqual(['spec.constructor', 'spec.__proto__', 'spec.toString'])
    expect(result.object).toEqual({ spec: {} })
  })

  it('is idempotent and leaves what it keeps alone', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const schema = fc.letrec<{ node: JsonSchema }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 3 },
        fc.constant(text),
        fc.record({ type: fc.constant('object'), properties: fc.dictionary(name, tie('node')) }),
        fc.record({ type: fc.constant('array'), items: tie('node') }),
        fc.record({ type: fc.constant('object'), additionalProperties: tie('node') }),
      ),
    })).node
    fc.assert(
      fc.property(schema, fc.dictionary(name, fc.object({ key: name, maxDepth: 3 })), (schema, value) => {
        const once = pruned({ ...schema, type: 'object' }, value)
        expect(pruned({ ...schema, type: 'object' }, once.object)).toEqual({ object: once.object, paths: [] })
      }),
    )
  })
})

describe('applyDefaults', () => {
  it('fills absent fields, and below objects that are there or defaulted', () => {
    const inner = object({ port: { type: 'integer', default: 80 } })
    const schema = object({
      spec: object({
        there: inner,
        absent: inner,
        made: { ...inner, default: {} },
        list: { type: 'array', items: inner },
        map: { type: 'object', additionalProperties: inner },
      }),
    })
    expect(defaulted(schema, { spec: { there: {}, list: [{}, { port: 1 }], map: { k: {} } } })).toEqual({
      spec: { there: { port: 80 }, made: { port: 80 }, list: [{ port: 80 }, { port: 1 }], map: { k: { port: 80 } } },
    })
    expect(defaulted(schema, {})).toEqual({})
  })

  it('treats null as absent unless it is allowed', () => {
    const schema = object({
      a: { type: 'string', default: 'x' },
      b: { type: 'string', default: 'x', nullable: true },
      c: text,
      d: { 'x-kubernetes-preserve-unknown-fields': true },
    })
    expect(defaulted(schema, { a: null, b: null, c: null, d: null })).toEqual({ a: 'x', b: null, d: null })
  })

  it('gives every object its own copy', () => {
    const schema = compileSchema(object({ spec: { type: 'array', items: text, default: ['a'] } }))
    const [one, two]: [Json, Json] = [{}, {}]
    schema.applyDefaults(one)
    ;(one['spec'] as string[]).push('b')
    schema.applyDefaults(two)
    expect(two).toEqual({ spec: ['a'] })
  })
})

describe('validate', () => {
  it.each<[string, JsonSchema, unknown, string[]]>([
    [
      'type',
      { type: 'integer' },
      'x',
      ['spec: Invalid value: "string": spec in body must be of type integer: "string"'],
    ],
    [
      'a fraction for an integer',
      { type: 'integer' },
      1.5,
      ['spec: Invalid value: "number": spec in body must be of type integer: "number"'],
    ],
    ['null', text, null, ['spec: Invalid value: "null": spec in body must be of type string: "null"']],
    ['allowed null', { type: 'string', nullable: true, enum: ['a'] }, null, []],
    [
      'int or string',
      { 'x-kubernetes-int-or-string': true },
      true,
      ['spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean"'],
    ],
    ['required', object({ a: text }, { required: ['a', 'b'] }), { a: '' }, ['spec.b: Required value']],
    ['enum', { type: 'string', enum: ['a', 'b'] }, 'c', ['spec: Unsupported value: "c": supported values: "a", "b"']],
    ['enum of objects', { type: 'object', enum: [{ a: 1, b: 2 }] }, { b: 2, a: 1 }, []],
    [
      'minimum',
      { type: 'integer', minimum: 1 },
      0,
      ['spec: Invalid value: 0: spec in body should be greater than or equal to 1'],
    ],
    [
      'exclusive maximum',
      { type: 'integer', maximum: 5, exclusiveMaximum: true },
      5,
      ['spec: Invalid value: 5: spec in body should be less than 5'],
    ],
    [
      'multipleOf',
      { type: 'number', multipleOf: 0.1 },
      0.25,
      ['spec: Invalid value: 0.25: spec in body should be a multiple of 0.1'],
    ],
    ['multipleOf despite doubles', { type: 'number', multipleOf: 0.1 }, 0.3, []],
    [
      'int32',
      { type: 'integer', format: 'int32' },
      2 ** 31,
      ['spec: Invalid value: "integer": spec in body must be of type int32: "2147483648"'].map((message) =>
        message.replace('"integer"', '2147483648'),
      ),
    ],
    ['maxLength in code points', { type: 'string', maxLength: 2 }, '😀😀', []],
    ['maxLength', { type: 'string', maxLength: 1 }, 'ab', ['spec: Too long: may not be more than 1 byte']],
    [
      'minLength',
      { type: 'string', minLength: 2 },
      '😀',
      ['spec: Invalid value: "😀": spec in body should be at least 2 chars long'],
    ],
    [
      'pattern',
      { type: 'string', pattern: '^[a-z]+$' },
      'A',
      [`spec: Invalid value: "A": spec in body should match '^[a-z]+$'`],
    ],
    ['RE2 syntax', { type: 'string', pattern: '^(?i)ab\\z' }, 'AB', []],
    [
      'format',
      { type: 'string', format: 'ipv4' },
      'x',
      ['spec: Invalid value: "x": spec in body must be of type ipv4: "x"'],
    ],
    ['unknown format', { type: 'string', format: 'k8s-short-name' }, '???', []],
    [
      'maxItems',
      { type: 'array', items: text, maxItems: 1 },
      ['a', 'b'],
      ['spec: Too many: 2: must have at most 1 item'],
    ],
    [
      'items',
      { type: 'array', items: text },
      ['a', 1],
      ['spec[1]: Invalid value: "integer": spec[1] in body must be of type string: "integer"'],
    ],
    [
      'maxProperties',
      { type: 'object', additionalProperties: text, maxProperties: 0 },
      { a: '' },
      ['spec: Too many: 1: must have at most 0 items'],
    ],
    [
      'set',
      { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      ['a', 'b', 'a'],
      ['spec[2]: Duplicate value: "a"'],
    ],
    [
      'list map',
      {
        type: 'array',
        items: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
      [{ name: 'a' }, { name: 'a', other: 1 }],
      ['spec[1]: Duplicate value: {"name":"a"}'],
    ],
    [
      'not',
      { type: 'string', not: { enum: ['a'] } },
      'a',
      ['spec: Invalid value: "a": spec in body must not validate the schema (not)'],
    ],
    [
      'oneOf without a match',
      object({ a: text, b: text }, { oneOf: [{ required: ['a'] }, { required: ['b'] }] }),
      {},
      [
        'spec: Invalid value: "object": spec in body must validate one and only one schema (oneOf). Found none valid',
        'spec.a: Required value',
      ],
    ],
    [
      'oneOf with two',
      object({ a: text, b: text }, { oneOf: [{ required: ['a'] }, { required: ['b'] }] }),
      { a: '', b: '' },
      [
        'spec: Invalid value: "object": spec in body must validate one and only one schema (oneOf). Found 2 valid alternatives',
      ],
    ],
    ['anyOf', { type: 'integer', anyOf: [{ minimum: 5 }, { maximum: 1 }] }, 1, []],
    [
      'embedded resource',
      object({}, { 'x-kubernetes-embedded-resource': true }),
      { kind: 'Pod' },
      ['spec.apiVersion: Required value: must not be empty'],
    ],
  ])('says what is wrong: %s', (_, schema, value, expected) => {
    expect(complaints(schema, value)).toEqual(expected)
  })

  it('answers in linear time on a pattern that would backtrack', () => {
    expect(complaints({ type: 'string', pattern: '^(a+)+$' }, `${'a'.repeat(5_000)}!`)).toHaveLength(1)
  })

  it('bounds the number of errors', () => {
    expect(
      complaints(
        { type: 'array', items: text },
        Array.from({ length: 10_000 }, () => 1),
      ),
    ).toHaveLength(100)
  })

  it('accepts what it defaulted, for any default it would accept', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer(), (word, number) => {
        const schema = object(
          { a: { type: 'string', default: word }, b: { type: 'integer', default: number } },
          { required: ['a', 'b'] },
        )
        expect(compileSchema(schema).validate(defaulted(schema, {}))).toEqual([])
      }),
    )
  })
})

it('survives objects nested without end under a type that refers to itself', () => {
  const crd = compileSchema(builtinSchema('apiextensions.k8s.io', 'v1', 'CustomResourceDefinition'))
  let schema: Json = { type: 'object' }
  for (let at = 0; at < 20_000; at += 1) schema = at % 2 === 0 ? { not: schema } : { properties: { a: schema } }
  const object = { spec: { versions: [{ name: 'v1', schema: { openAPIV3Schema: schema } }] } }
  expect(crd.validate(object).map((error) => error.reason)).toContain('FieldValueTypeInvalid')
  expect(crd.prune(object)).toHaveLength(1)
  expect(crd.prune(object)).toEqual([])
})

describe('formatFieldErrors', () => {
  it('lists several errors in brackets, each once, and leaves out the core group', () => {
    const error = { path: 'spec.x', reason: 'FieldValueRequired', detail: '' } as const
    expect(formatFieldErrors('Service', '', 's', [error, error, { ...error, path: '' }])).toBe(
      'Service "s" is invalid: [spec.x: Required value, <nil>: Required value]',
    )
  })
})
