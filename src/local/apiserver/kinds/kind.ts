/**
 * What the server must know of a kind to serve it: names, versions, subresources, columns and the few rules that are
 * its own. Built-in kinds and those of CRDs have the same shape, so no handler asks which of the two it has.
 */
import type { Clock } from '../../../runtime/clock.ts'
import type { Random } from '../../../runtime/random.ts'
import type { CompiledSchema, FieldError } from '../crd/structural.ts'
import type { ApiObject } from '../object.ts'
import type { JsonSchema } from '../openapi/json-schema.ts'
import type { Store } from '../store/store.ts'
import type { FieldReader } from '../store/selectors.ts'
import type { ClusterIpAllocator } from './cluster-ip.ts'
import type { KindRegistry } from './registry.ts'

export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date'
  readonly format?: string
  readonly description?: string
  /** Above 0: shown only with `-o wide`. */
  readonly priority?: number
  /** The cell; undefined prints as `<none>`. */
  readonly cell: (object: ApiObject, nowMs: number) => string | number | boolean | undefined
}

/** Where a kind keeps what the scale subresource shows, as dotted paths below the object. */
export interface ScalePaths {
  readonly specReplicas: string
  readonly statusReplicas: string
  readonly selector?: string
}

export interface KindVersion {
  readonly version: string
  readonly served: boolean
  /** The text of the Warning header. */
  readonly deprecation?: string
  readonly columns: readonly Column[]
  readonly status: boolean
  readonly scale?: ScalePaths
  readonly fields: Readonly<Record<string, FieldReader>>
  readonly schema?: CompiledSchema
  /** The schema as the CRD wrote it, for OpenAPI; absent for built-ins, whose tables lie in openapi/. */
  readonly openapiSchema?: JsonSchema
  /** Between this version's shape and the stored one; absent: only apiVersion differs. */
  readonly convert?: { readonly toStorage: Conversion; readonly fromStorage: Conversion }
}

export type Conversion = (object: ApiObject) => ApiObject

export type NameRule = 'subdomain' | 'label' | 'label1035' | 'path-segment'

export interface Kind {
  readonly group: string
  readonly kind: string
  readonly listKind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly namespaced: boolean
  /** Where its objects lie in the store; kinds that share objects share it. */
  readonly storageKey: string
  /** apiVersion of stored objects. */
  readonly storageVersion: string
  /** Newest first: the first served one is preferred by discovery. */
  readonly versions: readonly KindVersion[]
  readonly verbs: readonly string[]
  /** Whether spec changes count up metadata.generation. */
  readonly generation: boolean
  readonly nameRule: NameRule
  /** A PUT without resourceVersion overwrites; otherwise it is refused (422). */
  readonly unconditionalUpdate: boolean
  readonly createOnUpdate: boolean
  /** Node agents register a Node together with its status. */
  readonly keepsStatusOnCreate?: boolean
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted?: boolean
  /** Pods: deletion waits for the node agent. */
  readonly gracefulDeletion?: (object: ApiObject, asked: number | undefined) => number
  /** From a CRD: no strategic merge patch, apiVersion and kind in list items. */
  readonly custom: boolean
  /** Further subresources, for discovery. */
  readonly subresources: readonly SubresourceEntry[]
  readonly rules: KindRules
}

export interface SubresourceEntry {
  readonly name: string
  readonly verbs: readonly string[]
  readonly group?: string
  readonly version?: string
  readonly kind: string
}

/** What rules may look at and use; the write itself stays with the handler. */
export interface RuleContext {
  readonly store: Store
  readonly registry: KindRegistry
  readonly clusterIps: ClusterIpAllocator
  readonly clock: Clock
  readonly random: Random
  readonly dryRun: boolean
  readonly warn: (message: string) => void
  /** Where a mutating webhook for pods would be called. */
  readonly mutatePod?: PodMutator
}

/** The pod as it should be stored, or undefined to leave it; may not change its arguments. */
export type PodMutator = (pod: ApiObject, namespace: ApiObject) => ApiObject | undefined

/** All optional, called in this order on every write that changes more than status. */
export interface KindRules {
  /** Fills in what the client left out, in place. */
  readonly defaults?: (object: ApiObject) => void
  /** Carries over what the client may not change, in place; `old` is the stored object. */
  readonly carry?: (object: ApiObject, old: ApiObject) => void
  /** On create, before validation: what mutating admission does. May throw ApiError. In place. */
  readonly prepare?: (object: ApiObject, context: RuleContext) => void
  readonly validate?: (object: ApiObject, old: ApiObject | undefined, context: RuleContext) => readonly FieldError[]
  /** Looks at other objects and takes resources (addresses); may throw ApiError. In place. */
  readonly admit?: (object: ApiObject, old: ApiObject | undefined, context: RuleContext) => void
  readonly admitDelete?: (object: ApiObject, context: RuleContext) => void
  /** After the write is in the journal. */
  readonly stored?: (object: ApiObject, old: ApiObject | undefined, context: RuleContext) => void
  readonly removed?: (object: ApiObject, context: RuleContext) => void
  /** Validates what came through /status, where more than the schema matters. */
  readonly validateStatus?: (object: ApiObject, old: ApiObject) => readonly FieldError[]
}

export function versionOf(kind: Kind, version: string): KindVersion | undefined {
  return kind.versions.find((candidate) => candidate.version === version && candidate.served)
}

export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`
}

/** The stored object as this version shows it. */
export function present(kind: Kind, version: KindVersion, object: ApiObject): ApiObject {
  const apiVersion = apiVersionOf(kind.group, version.version)
  const converted = version.convert?.fromStorage(object) ?? object
  if (converted.apiVersion === apiVersion && converted.kind === kind.kind) return converted
  return { ...converted, apiVersion, kind: kind.kind }
}

/** The client's object as it is stored. */
export function toStored(kind: Kind, version: KindVersion, object: ApiObject): ApiObject {
  const converted = version.convert?.toStorage(object) ?? object
  return { ...converted, apiVersion: kind.storageVersion }
}
