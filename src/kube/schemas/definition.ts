/** One own kind = one definition: its zod schemas give the type, the validation and the CRD manifest. */
import { z } from 'zod'
import type { CustomResourceDefinition, PrinterColumn } from '../kinds.ts'
import type { KubeObject, Resource } from '../object.ts'
import { structuralSchema } from './structural.ts'

export interface KindDefinition<T extends KubeObject> {
  readonly resource: Resource<T>
  readonly description: string
  readonly spec: z.ZodType
  readonly status: z.ZodType
  readonly shortNames: readonly string[]
  readonly columns: readonly PrinterColumn[]
}

export type Validation = { readonly ok: true } | { readonly ok: false; readonly flaws: readonly string[] }

/** What the API server would say of the object, before it is sent; each flaw names its field. */
export function validateKind<T extends KubeObject>(definition: KindDefinition<T>, object: unknown): Validation {
  const schema = z.looseObject({ spec: definition.spec, status: definition.status.optional() })
  const result = schema.safeParse(object)
  if (result.success) return { ok: true }
  return { ok: false, flaws: result.error.issues.map((issue) => `${fieldOf(issue.path)}: ${issue.message}`) }
}

export function crdOf<T extends KubeObject>(definition: KindDefinition<T>): CustomResourceDefinition {
  const { resource, description } = definition
  const singular = resource.kind.toLowerCase()
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${resource.plural}.${resource.group}`,
      labels: { 'app.kubernetes.io/part-of': 'isthmus' },
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
        categories: ['isthmus'],
      },
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: structuralSchema(definition.spec),
                status: structuralSchema(definition.status),
              },
            },
          },
          subresources: { status: {} },
          additionalPrinterColumns: [...definition.columns],
        },
      ],
    },
  }
}

/** `spec.gateways[0]` */
function fieldOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}
