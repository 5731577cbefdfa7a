import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { celRules, crdOf } from './definition.ts'
import { istioKind } from './istio.ts'
import type { ClusterPeer, CustomResourceDefinition, JsonSchema } from '../kinds.ts'
import {
  clusterPeerCrd,
  mcsCrds,
  ownCrds,
  standardCrds,
  validateCircuitBreakerPolicy,
  validateClusterPeer,
} from './index.ts'
import { structuralSchema } from './structural.ts'

const peer: ClusterPeer = {
  apiVersion: 'isthmus.dev/v1alpha1',
  kind: 'ClusterPeer',
  metadata: { name: 'west' },
  spec: { mesh: 'demo.mesh', trustDomain: 'west.demo.mesh', gateways: ['gw.west.example:15443', '[fd00::1]:15443'] },
}

const schemaOf = (crd: CustomResourceDefinition): JsonSchema => {
  const schema = crd.spec.versions[0]?.schema.openAPIV3Schema
  if (schema === undefined) throw new Error('no schema')
  return schema
}

const isOpen = (schema: JsonSchema): boolean =>
  schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true

/** The rules of apiextensions.k8s.io/v1 that an API server applies before it accepts a CRD. */
function structuralFlaws(schema: JsonSchema, path = '$'): string[] {
  const flaws: string[] = []
  if (schema.type === undefined && !isOpen(schema)) flaws.push(`${path}: no type`)
  if (schema.properties !== undefined && schema.additionalProperties !== undefined)
    flaws.push(`${path}: both kinds of properties`)
  if (schema.pattern !== undefined && /\(\?[=!<]|\\[1-9]/.test(schema.pattern)) flaws.push(`${path}: not RE2`)
  const { properties = {}, items, additionalProperties } = schema
  for (const [name, inner] of Object.entries(properties)) flaws.push(...structuralFlaws(inner, `${path}.${name}`))
  if (items !== undefined) flaws.push(...structuralFlaws(items, `${path}[]`))
  if (typeof additionalProperties === 'object') flaws.push(...structuralFlaws(additionalProperties, `${path}.*`))
  for (const required of schema.required ?? []) {
    if (!Object.hasOwn(properties, required)) flaws.push(`${path}: requires unknown ${required}`)
  }
  return flaws
}

describe('every CRD', () => {
  it.each([...ownCrds(), ...mcsCrds(), ...standardCrds()].map((crd) => [crd.metadata.name, crd] as const))(
    '%s is acceptable',
    (_name, crd) => {
      expect(crd.metadata.name).toBe(`${crd.spec.names.plural}.${crd.spec.group}`)
      expect(crd.spec.versions.filter((version) => version.storage)).toHaveLength(1)
      for (const version of crd.spec.versions) {
        expect(structuralFlaws(version.schema.openAPIV3Schema)).toEqual([])
        expect(version.schema.openAPIV3Schema.type).toBe('object')
        expect(version.subresources).toEqual({ status: {} })
      }
      const isProtected = /(^|\.)(k8s|kubernetes)\.io$/.test(crd.spec.group)
      expect(crd.metadata.annotations?.['api-approved.kubernetes.io'] !== undefined).toBe(isProtected)
      expect(JSON.parse(JSON.stringify(crd))).toEqual(crd)
    },
  )
})

describe('crdOf', () => {
  const kind = istioKind({
    resource: { group: 'security.istio.io', version: 'v1', plural: 'locks', kind: 'Lock', namespaced: true },
    description: 'A kind of several versions.',
    spec: z
      .object({ port: z.union([z.string(), z.int()]).meta({ 'x-kubernetes-int-or-string': true }) })
      .meta(celRules({ rule: 'self.port != 0', message: 'port must not be 0' })),
    versions: ['v1', 'v1beta1'],
    storedVersion: 'v1beta1',
    shortNames: ['lk'],
    rules: [{ rule: "self.metadata.name != 'x'" }],
  })

  it('serves every version with one schema and stores one', () => {
    const { spec } = crdOf(kind)
    expect(spec.versions.map(({ name, served, storage }) => [name, served, storage])).toEqual([
      ['v1', true, false],
      ['v1beta1', true, true],
    ])
    expect(spec.versions[0]?.schema).toEqual(spec.versions[1]?.schema)
    expect(spec.names).toMatchObject({ shortNames: ['lk'], categories: ['istio-io', 'security-istio-io'] })
  })

  it('carries CEL rules of the object and of its fields, and fields of two types', () => {
    const schema = schemaOf(crdOf(kind))
    expect(schema.required).toBeUndefined()
    expect(schema['x-kubernetes-validations']).toEqual([{ rule: "self.metadata.name != 'x'" }])
    expect(schema.properties?.['spec']).toEqual({
      type: 'object',
      required: ['port'],
      properties: { port: { 'x-kubernetes-int-or-string': true } },
      'x-kubernetes-validations': [{ rule: 'self.port != 0', message: 'port must not be 0' }],
    })
  })
})

describe('mcsCrds', () => {
  it('stores v1beta1, serves v1alpha1 alike, and is marked against downgrades', () => {
    const [exports, imports] = mcsCrds()
    for (const crd of [exports, imports]) {
      expect(crd?.spec.versions.map(({ name, served, storage }) => ({ name, served, storage }))).toEqual([
        { name: 'v1beta1', served: true, storage: true },
        { name: 'v1alpha1', served: true, storage: false },
      ])
      expect(crd?.spec.versions[0]?.schema).toEqual(crd?.spec.versions[1]?.schema)
      expect(crd?.spec.conversion).toEqual({ strategy: 'None' })
      expect(crd?.metadata.labels).toEqual({
        'multicluster.x-k8s.io/release-version': 'v0.5.0',
        'multicluster.x-k8s.io/crd-schema-revision': '0',
      })
    }
    expect(exports?.spec.names.shortNames).toEqual(['svcex', 'svcexport'])
    expect(imports?.spec.versions[0]?.additionalPrinterColumns?.map(({ name }) => name)).toEqual(['Type', 'IP', 'Age'])
  })
})

describe('clusterPeerCrd', () => {
  it('says in OpenAPI what the zod definition says', () => {
    const spec = schemaOf(clusterPeerCrd()).properties?.['spec']
    expect(spec?.required).toEqual(['mesh', 'trustDomain', 'gateways'])
    expect(spec?.properties?.['network']).toMatchObject({
      type: 'string',
      enum: ['gateway', 'flat'],
      default: 'gateway',
    })
    expect(spec?.properties?.['gateways']).toMatchObject({ type: 'array', minItems: 1, maxItems: 16 })
    const status = schemaOf(clusterPeerCrd()).properties?.['status']
    expect(status?.required).toBeUndefined()
    expect(status?.properties?.['conditions']).toMatchObject({
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    })
    expect(status?.properties?.['imported']).toEqual({
      type: 'integer',
      format: 'int64',
      minimum: 0,
      description: 'Services imported from the peer.',
    })
  })
})

describe('validateClusterPeer', () => {
  it('accepts what a cluster may be told', () => {
    expect(validateClusterPeer(peer)).toEqual({ ok: true })
    const status = { sync: { state: 'Stale', ageMs: 1200 }, data: { state: 'Healthy', rttMs: 0.7 }, imported: 3 }
    expect(validateClusterPeer({ ...peer, status })).toEqual({ ok: true })
  })

  it.each([
    [{ gateways: [] }, 'spec.gateways'],
    [{ gateways: ['gw.west.example'] }, 'spec.gateways[0]'],
    [{ trustDomain: 'West.demo.mesh' }, 'spec.trustDomain'],
    [{ trustDomain: 'west@east' }, 'spec.trustDomain'],
    [{ network: 'bridge' }, 'spec.network'],
    [{ mesh: undefined }, 'spec.mesh'],
  ])('names the field of %j', (change, field) => {
    const result = validateClusterPeer({ ...peer, spec: { ...peer.spec, ...change } })
    expect(result.ok ? [] : result.flaws.map((flaw) => flaw.split(': ')[0])).toEqual([field])
  })
})

describe('validateCircuitBreakerPolicy', () => {
  const policy = {
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'CircuitBreakerPolicy',
    metadata: { name: 'checkout', namespace: 'shop' },
    spec: { targetRefs: [{ kind: 'Service', name: 'checkout' }] },
  }

  it('accepts a target alone: everything else has a default', () => {
    expect(validateCircuitBreakerPolicy(policy)).toEqual({ ok: true })
  })

  it.each([
    [{ targetRefs: [] }, 'spec.targetRefs'],
    [{ targetRefs: [{ kind: 'Pod', name: 'checkout' }] }, 'spec.targetRefs[0].kind'],
    [{ window: '10 s' }, 'spec.window'],
    [{ minimumRequests: 0 }, 'spec.minimumRequests'],
    [{ failurePercent: 101 }, 'spec.failurePercent'],
  ])('names the field of %j', (change, field) => {
    const result = validateCircuitBreakerPolicy({ ...policy, spec: { ...policy.spec, ...change } })
    expect(result.ok ? [] : result.flaws.map((flaw) => flaw.split(': ')[0])).toEqual([field])
  })
})

describe('structuralSchema', () => {
  it('refuses what a structural schema cannot say', () => {
    expect(() => structuralSchema(z.object({ a: z.union([z.string(), z.number()]) }))).toThrow(/\.a uses anyOf/)
    expect(() => structuralSchema(z.object({ a: z.unknown() }))).toThrow(/no single type/)
  })

  it('translates strict objects, maps and integers', () => {
    expect(structuralSchema(z.strictObject({ a: z.record(z.string(), z.string()), b: z.int32() }))).toEqual({
      type: 'object',
      required: ['a', 'b'],
      properties: {
        a: { type: 'object', additionalProperties: { type: 'string' } },
        b: { type: 'integer', format: 'int64', minimum: -2_147_483_648, maximum: 2_147_483_647 },
      },
    })
  })
})
