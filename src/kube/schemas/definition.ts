/** One own kind = one definition: its zod schemas give the type, the validation and the CRD manifest. */
import { z } from 'zod'
import type { CustomResourceDefinition, JsonSchema, PrinterColumn } from '../kinds.ts'
import type { KubeObject, Resource } from '../object.ts'
import { structuralSchema } from './structural.ts'

/** A rule of `x-kubernetes-validations` (CEL), judged by the API server and by `isthmus validate` alike. */
export interface CelRule {
  readonly rule: string
  readonly message?: string
  readonly messageExpression?: string
  readonly reason?: string
}

export interface KindDefinition<T extends KubeObject> {
  /** Its version is the one the product reads; any API server converts the others to it. */
  readonly resource: Resource<T>
  readonly description: string
  readonly spec: z.ZodType
  readonly status: z.ZodType
  readonly shortNames: readonly string[]
  readonly columns: readonly PrinterColumn[]
  /** Every served version, newest first, all with this schema; the resource's own when absent. */
  readonly versions?: readonly string[]
  /** The resource's version when absent. */
  readonly storedVersion?: string
  /** `isthmus` when absent. */
  readonly categories?: readonly string[]
  /** Rules on the whole object. Rules on a field stand in its schema: `.meta(celRules({ rule, message }))`. */
  readonly rules?: readonly CelRule[]
  /** An object without spec is valid (Istio's policies). Ours always need one. */
  readonly specOptional?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  /** What objects of this kind are to us: absent for kinds that act, `stored` for those that are kept and never read. */
  readonly support?: 'stored'
}

/** Definitions of any kind; `Resource` only gives its object out, so this is safe. */
export type AnyDefinition = KindDefinition<KubeObject>

/** For `.meta()` of a zod schema: CEL rules on that field. */
export const celRules = (...rules: readonly CelRule[]): { 'x-kubernetes-validations': CelRule[] } => ({
  'x-kubernetes-validations': [...rules],
})

export type Validation = { readonly ok: true } | { readonly ok: false; readonly flaws: readonly string[] }

/** What the API server would say of the object, before it is sent; each flaw names its field. */
export function validateKind<T extends KubeObject>(definition: KindDefinition<T>, object: unknown): Validation {
  const result = zodOf(definition).safeParse(object)
  if (result.success) return { ok: true }
  return { ok: false, flaws: result.error.issues.map((issue) => `${fieldOf(issue.path)}: ${issue.message}`) }
}

/** The object without apiVersion, kind and metadata, which Kubernetes itself judges. */
export function zodOf<T extends KubeObject>({ spec, status, specOptional }: KindDefinition<T>): z.ZodType {
  return z.looseObject({ spec: specOptional === true ? spec.optional() : spec, status: status.optional() })
}

export function crdOf<T extends KubeObject>(definition: KindDefinition<T>): CustomResourceDefinition {
  const { resource } = definition
  const singular = resource.kind.toLowerCase()
  const stored = definition.storedVersion ?? resource.version
  const schema = objectSchema(definition)
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${resource.plural}.${resource.group}`,
      labels: { ...PART_OF_ISTHMUS },
      ...(definition.annotations === undefined ? {} : { annotations: { ...definition.annotations } }),
    },
    spec: {
      group: resource.group,
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      names: {
        plural: resource.plural,
        singular,
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        shortNames: [...definition.shortNames],
        categories: [...(definition.categories ?? ['isthmus'])],
      },
      versions: servedVersions(definition).map((name) => ({
        name,
        served: true,
        storage: name === stored,
        schema: { openAPIV3Schema: structuredClone(schema) },
        subresources: { status: {} },
        additionalPrinterColumns: [...definition.columns],
      })),
    },
  }
}

/** Marks the CRDs that an install wrote: a later one may change those, and no others of a foreign group. */
const PART_OF_ISTHMUS = { 'app.kubernetes.io/part-of': 'isthmus' } as const

export function servedVersions<T extends KubeObject>(definition: KindDefinition<T>): readonly string[] {
  return definition.versions ?? [definition.resource.version]
}

/** The structural schema of the whole object, the same in every version. */
export function objectSchema<T extends KubeObject>(definition: KindDefinition<T>): JsonSchema {
  const { description, rules, specOptional } = definition
  return {
    type: 'object',
    description,
    ...(specOptional === true ? {} : { required: ['spec'] }),
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: structuralSchema(definition.spec),
      status: structuralSchema(definition.status),
    },
    ...(rules === undefined ? {} : { 'x-kubernetes-validations': structuredClone([...rules]) }),
  }
}

/** `spec.gateways[0]` */
export function fieldOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}
