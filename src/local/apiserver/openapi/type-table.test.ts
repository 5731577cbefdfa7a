import * as client from '@kubernetes/client-node'
import { describe, expect, it } from 'vitest'
import { DESCRIPTIONS } from './descriptions.ts'
import { componentName, fieldsOf, fieldTypes, resolveRef, typeOfKind, typeSchema } from './type-table.ts'
import table from './type-table.json' with { type: 'json' }

interface Attribute {
  readonly baseName: string
  readonly type: string
}

const models = client as unknown as Readonly<
  Record<string, { getAttributeTypeMap?: () => readonly Attribute[] } | undefined>
>

/** The model of a table's type: those whose names clash carry their group's. */
function attributesOf(type: string): readonly Attribute[] {
  const [pkg = '', , name = ''] = type.split('.')
  const prefixed = `${pkg[0]?.toUpperCase()}${pkg.slice(1)}V1${name}`
  return (models[prefixed] ?? models[`V1${name}`])?.getAttributeTypeMap?.() ?? []
}

describe('type-table.json', () => {
  it('has the fields of the models of @kubernetes/client-node (else run tools/kubernetes-types.ts)', () => {
    const differences = Object.keys(table).filter((type) => {
      const expected = attributesOf(type).map((attribute) => attribute.baseName)
      return expected.length === 0 || expected.toSorted().join() !== [...fieldsOf(type).keys()].toSorted().join()
    })
    expect(differences).toEqual([])
  })

  it('has lists, maps, numbers and booleans where the models have them', () => {
    const shape = (encoded: string): string =>
      encoded.startsWith('[]')
        ? 'list'
        : encoded.startsWith('{}')
          ? 'map'
          : ({ b: 'boolean', i: 'number', l: 'number', f: 'number' }[encoded] ?? '')
    const modelShape = (type: string): string =>
      type.startsWith('Array<')
        ? 'list'
        : type.startsWith('{')
          ? 'map'
          : type === 'boolean' || type === 'number'
            ? type
            : ''
    const differences = Object.keys(table).flatMap((type) =>
      attributesOf(type)
        .filter(({ baseName, type: expected }) => shape(fieldsOf(type).get(baseName) ?? '') !== modelShape(expected))
        .map(({ baseName }) => `${type}.${baseName}`),
    )
    expect(differences).toEqual([])
  })

  it('refers only to types that it has', () => {
    const dangling = Object.keys(table).flatMap((type) =>
      [...fieldsOf(type).values()].filter(
        (encoded) =>
          encoded.includes('.') && typeSchema(encoded.replace(/^(\[\]|\{\})/, '').replace(/\|b$/, '')) === undefined,
      ),
    )
    expect(dangling).toEqual([])
  })

  it('is what the descriptions speak of', () => {
    const unknown = Object.keys(DESCRIPTIONS).filter((key) => {
      const split = key.lastIndexOf('.')
      return typeSchema(key) === undefined && !fieldsOf(key.slice(0, split)).has(key.slice(split + 1))
    })
    expect(unknown).toEqual([])
  })
})

describe('typeSchema', () => {
  it('reads required fields, lists, maps and references', () => {
    expect(typeSchema('core.v1.EnvVar')).toMatchObject({
      type: 'object',
      required: ['name'],
      properties: {
        name: { type: 'string' },
        valueFrom: { $ref: '#/components/schemas/io.k8s.api.core.v1.EnvVarSource' },
      },
    })
    expect(typeSchema('core.v1.Nothing')).toBeUndefined()
    expect(typeSchema('constructor')).toBeUndefined()
  })

  it('resolves references, also to types that may be a boolean', () => {
    expect(resolveRef(`#/components/schemas/${componentName('core.v1.EnvVar')}`)).toBe(typeSchema('core.v1.EnvVar'))
    const open = resolveRef(`#/components/schemas/${componentName('apiextensions.v1.JSONSchemaProps')}OrBool`)
    expect(open?.type).toBeUndefined()
    expect(open?.properties?.['pattern']).toEqual({ type: 'string' })
    expect(resolveRef('#/components/schemas/unknown')).toBeUndefined()
  })
})

it('typeOfKind and fieldTypes lead from a kind to the types of its parts', () => {
  expect(typeOfKind('Deployment')).toBe('apps.v1.Deployment')
  expect(typeOfKind('PodSpec')).toBeUndefined()
  expect(fieldTypes('core.v1.PodSpec', 'containers')).toEqual({ item: 'core.v1.Container' })
  expect(fieldTypes('core.v1.Pod', 'spec')).toEqual({ value: 'core.v1.PodSpec' })
  expect(fieldTypes('core.v1.Pod', 'nothing')).toEqual({})
})
