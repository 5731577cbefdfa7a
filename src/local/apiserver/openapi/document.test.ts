import { describe, expect, it } from 'vitest'
import { type OpenApiKind, openapiV2Empty, openapiV3 } from './document.ts'
import type { JsonSchema } from './json-schema.ts'

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const deployment: OpenApiKind = {
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  namespaced: true,
  verbs,
}
const thing: OpenApiKind = {
  group: 'x.dev',
  version: 'v1',
  kind: 'Thing',
  plural: 'things',
  namespaced: false,
  verbs,
  schema: {
    type: 'object',
    description: 'A thing.',
    properties: { spec: { type: 'object', properties: { size: { 'x-kubernetes-int-or-string': true } } } },
  },
}

interface Operation {
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, unknown>> }
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> }
}
const documentOf = (groupVersion: string, ...kinds: OpenApiKind[]): Document =>
  openapiV3(groupVersion, kinds) as Document
const names = (operation: Operation | undefined): string[] =>
  (operation?.parameters ?? []).map((parameter) => parameter.name)

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : references(inner),
  )
}

describe('openapiV3', () => {
  it('gives the patch operation what kubectl looks for', () => {
    const { paths } = documentOf('apps/v1', deployment)
    const patch = paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}']?.['patch']
    expect(patch).toMatchObject({
      'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
      'x-kubernetes-action': 'patch',
    })
    expect(names(patch).toSorted()).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force'])
    expect(Object.keys(patch?.requestBody?.content ?? {})).toContain('application/strategic-merge-patch+json')
  })

  it('offers custom kinds no strategic patch, and completes their schemas', () => {
    const { paths, components } = documentOf('x.dev/v1', thing)
    expect(Object.keys(paths['/apis/x.dev/v1/things/{name}']?.['patch']?.requestBody?.content ?? {})).toEqual([
      'application/json-patch+json',
      'application/merge-patch+json',
    ])
    const schema = components.schemas['dev.x.v1.Thing']
    expect(schema).toMatchObject({
      description: 'A thing.',
      'x-kubernetes-group-version-kind': [{ group: 'x.dev', version: 'v1', kind: 'Thing' }],
    })
    expect(Object.keys(schema?.properties ?? {})).toEqual(['spec', 'apiVersion', 'kind', 'metadata'])
  })

  it('publishes merge keys for kubectl to compute strategic patches with', () => {
    const { schemas } = documentOf('apps/v1', deployment).components
    expect(schemas['io.k8s.api.core.v1.PodSpec']?.properties?.['volumes']).toMatchObject({
      'x-kubernetes-patch-strategy': 'merge,retainKeys',
      'x-kubernetes-patch-merge-key': 'name',
    })
    expect(schemas['io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta']?.properties?.['finalizers']).toMatchObject({
      'x-kubernetes-patch-strategy': 'merge',
    })
    expect(schemas['io.k8s.api.core.v1.PodSpec']?.properties?.['tolerations']).not.toHaveProperty(
      'x-kubernetes-patch-strategy',
    )
  })

  it('holds every schema that it refers to, and no spelling of our own', () => {
    const crd = {
      group: 'apiextensions.k8s.io',
      version: 'v1',
      kind: 'CustomResourceDefinition',
      plural: 'customresourcedefinitions',
      namespaced: false,
      verbs,
    }
    const lease = {
      group: 'coordination.k8s.io',
      version: 'v1',
      kind: 'Lease',
      plural: 'leases',
      namespaced: true,
      verbs,
    }
    for (const kind of [deployment, thing, crd, lease]) {
      const document = documentOf('any/v1', kind)
      const missing = references(document).filter(
        (ref) => !(ref.replace('#/components/schemas/', '') in document.components.schemas),
      )
      expect(missing).toEqual([])
      expect(JSON.stringify(document)).not.toMatch(/date-time-micro|"format":"quantity"/)
    }
  })

  it('names only what the kind can do', () => {
    const review = {
      group: 'authentication.k8s.io',
      version: 'v1',
      kind: 'TokenReview',
      plural: 'tokenreviews',
      namespaced: false,
      verbs: ['create'],
    }
    const { paths } = documentOf('authentication.k8s.io/v1', review)
    expect(Object.keys(paths)).toEqual(['/apis/authentication.k8s.io/v1/tokenreviews'])
    expect(Object.keys(paths['/apis/authentication.k8s.io/v1/tokenreviews'] ?? {})).toEqual(['post', 'parameters'])
  })
})

it('openapiV2Empty is the 17 bytes of an empty swagger document', () => {
  expect(Buffer.from(openapiV2Empty()).toString('hex')).toBe('0a03322e3012080a01781203312e304200')
})
