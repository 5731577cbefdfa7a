/** CustomResourceDefinition (apiextensions.k8s.io/v1) and the structural schema it carries. */
import type { Condition, KubeObject, Resource } from '../object.ts'

export interface CustomResourceDefinition extends KubeObject {
  spec: CrdSpec
  status?: {
    conditions?: Condition[]
    storedVersions?: string[]
    acceptedNames?: CrdNames
  }
}

export interface CrdSpec {
  group: string
  scope: 'Namespaced' | 'Cluster'
  names: CrdNames
  versions: CrdVersion[]
  conversion?: { strategy: 'None' | 'Webhook' }
  preserveUnknownFields?: boolean
}

export interface CrdNames {
  plural: string
  kind: string
  singular?: string
  listKind?: string
  shortNames?: string[]
  categories?: string[]
}

export interface CrdVersion {
  name: string
  served: boolean
  storage: boolean
  deprecated?: boolean
  deprecationWarning?: string
  schema: { openAPIV3Schema: JsonSchema }
  subresources?: {
    status?: Record<string, never>
    scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath?: string }
  }
  additionalPrinterColumns?: PrinterColumn[]
  selectableFields?: { jsonPath: string }[]
}

export interface PrinterColumn {
  name: string
  type: string
  jsonPath: string
  description?: string
  format?: string
  priority?: number
}

/** The subset of OpenAPI v3 that a structural schema may use. */
export interface JsonSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean'
  description?: string
  format?: string
  title?: string
  default?: unknown
  enum?: unknown[]
  nullable?: boolean
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: boolean
  exclusiveMaximum?: boolean
  multipleOf?: number
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  minProperties?: number
  maxProperties?: number
  required?: string[]
  properties?: Record<string, JsonSchema>
  additionalProperties?: JsonSchema | boolean
  items?: JsonSchema
  allOf?: JsonSchema[]
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  not?: JsonSchema
  'x-kubernetes-preserve-unknown-fields'?: boolean
  'x-kubernetes-embedded-resource'?: boolean
  'x-kubernetes-int-or-string'?: boolean
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map'
  'x-kubernetes-list-map-keys'?: string[]
  'x-kubernetes-map-type'?: 'atomic' | 'granular'
  'x-kubernetes-validations'?: {
    rule: string
    message?: string
    messageExpression?: string
    reason?: string
    fieldPath?: string
  }[]
}

export const CUSTOM_RESOURCE_DEFINITIONS: Resource<CustomResourceDefinition> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
}
