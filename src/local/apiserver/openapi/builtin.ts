/**
 * Schemas of the built-in kinds, from the type table. The server compiles them to find unknown fields and wrong types
 * in manifests, and publishes them as OpenAPI. They know field names and types only: defaults and rules of a kind are
 * code of the kind.
 */
import type { JsonSchema } from './json-schema.ts'
import { typeSchema } from './type-table.ts'

/** API group to package of the type table, where the first part of the group is not it. */
const PACKAGES: Readonly<Record<string, string>> = {
  '': 'core',
  'rbac.authorization.k8s.io': 'rbac',
  'discovery.k8s.io': 'discovery',
  'events.k8s.io': 'events',
  'coordination.k8s.io': 'coordination',
  'admissionregistration.k8s.io': 'admissionregistration',
  'apiextensions.k8s.io': 'apiextensions',
  'authentication.k8s.io': 'authentication',
  'authorization.k8s.io': 'authorization',
  apps: 'apps',
  batch: 'batch',
  policy: 'policy',
  'networking.k8s.io': 'networking',
  'scheduling.k8s.io': 'scheduling',
  autoscaling: 'autoscaling',
}

/** The name of the kind's type in the table, e.g. `apps.v1.Deployment`. */
export function builtinType(group: string, version: string, kind: string): string | undefined {
  const pkg = Object.hasOwn(PACKAGES, group) ? PACKAGES[group] : undefined
  return pkg === undefined ? undefined : `${pkg}.${version}.${kind}`
}

export function builtinSchema(group: string, version: string, kind: string): JsonSchema | undefined {
  const type = builtinType(group, version, kind)
  const schema = type === undefined ? undefined : typeSchema(type)
  // Parts such as PodSpec lie in the same table and are no kinds.
  return schema?.properties?.['kind'] === undefined ? undefined : schema
}
