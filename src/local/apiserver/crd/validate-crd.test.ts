import { describe, expect, it } from 'vitest'
import type { CrdVersion, CustomResourceDefinition } from '../../../kube/kinds.ts'
import { validateCrd } from './validate-crd.ts'
import { describeFieldError } from './field-error.ts'

const SCHEMA = {
  type: 'object',
  properties: { spec: { type: 'object', properties: { size: { type: 'integer', default: 1 } } } },
}

function crd(spec: object = {}, metadata: object = {}): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.x.dev', ...metadata },
    spec: {
      group: 'x.dev',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [version()],
      ...spec,
    },
  }
}

const version = (rest: object = {}, schema: object = SCHEMA): CrdVersion => ({
  name: 'v1',
  served: true,
  storage: true,
  schema: { openAPIV3Schema: schema },
  ...rest,
})
const texts = (it: CustomResourceDefinition): string[] =>
  validateCrd(it).map((error) => `${error.path}: ${describeFieldError(error)}`)
/** Complaints about a property `x` of the schema's root, relative to it. */
const aboutProperty = (schema: object): string[] =>
  texts(crd({ versions: [version({}, { type: 'object', properties: { x: schema } })] })).map((text) =>
    text.replace('spec.versions[0].schema.openAPIV3Schema.properties[x]', 'x'),
  )

describe('validateCrd', () => {
  it('accepts a plain one, and one of everything', () => {
    expect(texts(crd())).toEqual([])
    const rich = version({
      additionalPrinterColumns: [
        { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
      ],
      subresources: { status: {}, scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
      deprecated: true,
      deprecationWarning: 'use v2',
    })
    expect(
      texts(
        crd({
          versions: [rich],
          names: {
            plural: 'things',
            singular: 'thing',
            kind: 'Thing',
            listKind: 'ThingList',
            shortNames: ['th'],
            categories: ['all'],
          },
        }),
      ),
    ).toEqual([])
  })

  it.each<[string, CustomResourceDefinition, RegExp]>([
    ['name', crd({}, { name: 'wrong' }), /^metadata\.name: Invalid value: "wrong": must be spec\.names\.plural/],
    ['group without a dot', crd({ group: 'dev' }, { name: 'things.dev' }), /^spec\.group: .*at least one dot/],
    [
      'scope',
      crd({ scope: 'World' }),
      /^spec\.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"/,
    ],
    [
      'plural',
      crd({ names: { plural: 'Things', kind: 'Thing' } }, { name: 'Things.x.dev' }),
      /^spec\.names\.plural: .*DNS-1035/,
    ],
    [
      'equal kinds',
      crd({ names: { plural: 'things', kind: 'Thing', listKind: 'Thing' } }),
      /kind and listKind may not be the same/,
    ],
    [
      'two storage versions',
      crd({ versions: [version(), version({ name: 'v2' })] }),
      /exactly one version marked as storage/,
    ],
    ['versions twice', crd({ versions: [version(), version({ storage: false })] }), /unique version names/],
    ['no schema', crd({ versions: [version({ schema: {} })] }), /openAPIV3Schema: Required value/],
    [
      'conversion webhook',
      crd({ conversion: { strategy: 'Webhook' } }),
      /^spec\.conversion\.strategy: Unsupported value: "Webhook"/,
    ],
    ['preserveUnknownFields', crd({ preserveUnknownFields: true }), /^spec\.preserveUnknownFields: /],
    [
      'a column type',
      crd({ versions: [version({ additionalPrinterColumns: [{ name: 'a', type: 'text', jsonPath: '.a' }] })] }),
      /must be one of boolean,date,integer,number,string/,
    ],
    [
      'a scale path',
      crd({
        versions: [
          version({ subresources: { scale: { specReplicasPath: '.status.a', statusReplicasPath: '.status.a' } } }),
        ],
      }),
      /should be a json path under \.spec/,
    ],
    ['a wrong type anywhere', crd({ versions: 'v1' }), /^spec\.versions: Invalid value: "string"/],
  ])('refuses %s', (_, it, message) => {
    expect(texts(it)).toEqual(expect.arrayContaining([expect.stringMatching(message)]))
  })

  it('protects Kubernetes groups, and only those', () => {
    const of = (group: string, annotation?: string) =>
      texts(
        crd(
          { group },
          {
            name: `things.${group}`,
            annotations: annotation === undefined ? {} : { 'api-approved.kubernetes.io': annotation },
          },
        ),
      )
    expect(of('about.k8s.io')).toEqual([
      expect.stringMatching(
        /^metadata\.annotations\[api-approved\.kubernetes\.io\]: Required value: protected groups must have approval annotation/,
      ),
    ])
    expect(of('about.k8s.io', 'because')).toEqual([expect.stringContaining('Invalid value: "because"')])
    for (const reason of ['unapproved, experimental', 'https://github.com/kubernetes/x'])
      expect(of('about.k8s.io', reason)).toEqual([])
    expect(of('multicluster.x-k8s.io')).toEqual([])
  })

  it.each<[string, object, string]>([
    ['no type', {}, 'x.type: Required value: must not be empty for specified object fields'],
    [
      'items without a type',
      { type: 'array', items: {} },
      'x.items.type: Required value: must not be empty for specified array items',
    ],
    ['array without items', { type: 'array' }, 'x.items: Required value: must be specified'],
    [
      'unknown type',
      { type: 'file' },
      'x.type: Unsupported value: "file": supported values: "array", "boolean", "integer", "number", "object", "string"',
    ],
    [
      'a type in a combination',
      { type: 'string', anyOf: [{ type: 'string' }] },
      'x.anyOf[0].type: Forbidden: must be empty to be structural',
    ],
    [
      'a default in a combination',
      { type: 'string', allOf: [{ default: 'a' }] },
      'x.allOf[0].default: Forbidden: must be undefined to be structural',
    ],
    [
      'a pattern that is not RE2',
      { type: 'string', pattern: '(?=a)' },
      `x.pattern: Invalid value: "(?=a)": must be a valid regular expression, but isn't (RE2 syntax)`,
    ],
    [
      'uniqueItems',
      { type: 'array', items: { type: 'string' }, uniqueItems: true },
      'x.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
    ],
    [
      '$ref',
      { type: 'object', $ref: '#/components/schemas/io.k8s.api.core.v1.Pod' },
      'x.$ref: Forbidden: $ref is not supported',
    ],
    [
      'properties and additionalProperties',
      { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } },
      'x.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive',
    ],
    [
      'a default of the wrong type',
      { type: 'integer', default: 'a' },
      'x.default: Invalid value: "string": x.default in body must be of type integer: "string"',
    ],
    [
      'a default with unknown fields',
      { type: 'object', properties: {}, default: { a: 1 } },
      'x.default: Invalid value: {"a":1}: must not have unknown fields: a',
    ],
    [
      'an optional list map key',
      {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['n'],
        items: { type: 'object', properties: { n: { type: 'string' } } },
      },
      'x.items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
    ],
    [
      'a nested field that is not specified',
      { type: 'object', properties: {}, oneOf: [{ properties: { a: { enum: [1] } } }] },
      'x.oneOf[0].properties[a]: Required value: because it is defined in a nested context, it must be specified outside of it too',
    ],
    [
      'int-or-string with preserve',
      { 'x-kubernetes-int-or-string': true, 'x-kubernetes-preserve-unknown-fields': true },
      'x.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true',
    ],
  ])('refuses a schema with %s', (_, schema, expected) => {
    expect(
      aboutProperty(schema).map((text) =>
        text.replaceAll('spec.versions[0].schema.openAPIV3Schema.properties[x]', 'x'),
      ),
    ).toContain(expected)
  })

  it.each<[string, object]>([
    [
      'int-or-string, both spellings',
      { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
    ],
    [
      'int-or-string with more',
      {
        'x-kubernetes-int-or-string': true,
        allOf: [{ anyOf: [{ type: 'integer' }, { type: 'string' }] }, { pattern: 'a' }],
      },
    ],
    ['preserve-unknown without a type', { 'x-kubernetes-preserve-unknown-fields': true }],
    [
      'required in oneOf',
      {
        type: 'object',
        properties: { a: { type: 'string' } },
        oneOf: [{ required: ['a'] }, { not: { anyOf: [{ required: ['a'] }] } }],
      },
    ],
    [
      'an embedded resource',
      { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
    ],
  ])('accepts a schema with %s', (_, schema) => {
    expect(aboutProperty(schema)).toEqual([])
  })

  it('restricts metadata to names', () => {
    const withMetadata = (metadata: object) =>
      texts(crd({ versions: [version({}, { type: 'object', properties: { metadata } })] }))
    expect(withMetadata({ type: 'object', properties: { name: { type: 'string', maxLength: 5 } } })).toEqual([])
    expect(withMetadata({ type: 'object', properties: { labels: { type: 'object' } } })).toEqual([
      expect.stringContaining('must not specify anything other than name and generateName'),
    ])
  })
})

describe('CEL rules', () => {
  it('must compile', () => {
    const withRule = (rule: string): string[] =>
      texts(crd({ versions: [version({}, { type: 'object', 'x-kubernetes-validations': [{ rule }] })] }))
    expect(withRule('self.metadata.name.size() < 9')).toEqual([])
    expect(withRule('self.size(')).toEqual([expect.stringContaining('compilation failed')])
  })
})
