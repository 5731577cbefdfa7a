/** Field selectors that built-in kinds offer beside metadata.name and metadata.namespace. */
import { child, scalarText, text, type ApiObject } from '../object.ts'
import type { FieldReader } from '../store/selectors.ts'

/** Dotted paths below the object; missing values select as ''. */
function paths(...fields: string[]): Record<string, FieldReader> {
  return Object.fromEntries(fields.map((field) => [field, (object: ApiObject) => valueAt(object, field)]))
}

export function valueAt(object: ApiObject, path: string): string {
  let value: unknown = object
  for (const segment of path.split('.')) value = child({ value }, 'value')[segment]
  return scalarText(value)
}

const withDefault =
  (field: string, fallback: string): FieldReader =>
  (object) =>
    valueAt(object, field) || fallback

/** By storage key. */
export const FIELDS: Readonly<Record<string, Readonly<Record<string, FieldReader>>>> = {
  pods: {
    ...paths('spec.nodeName', 'spec.restartPolicy', 'spec.schedulerName', 'spec.serviceAccountName'),
    ...paths('status.phase', 'status.podIP', 'status.nominatedNodeName'),
    'spec.hostNetwork': withDefault('spec.hostNetwork', 'false'),
  },
  events: {
    ...paths('involvedObject.kind', 'involvedObject.namespace', 'involvedObject.name', 'involvedObject.uid'),
    ...paths('involvedObject.apiVersion', 'involvedObject.resourceVersion', 'involvedObject.fieldPath'),
    ...paths('reason', 'reportingComponent', 'type'),
    // The core group's Events name their source's component.
    source: (object) => text(child(object, 'source'), 'component') || text(object, 'reportingComponent'),
  },
  secrets: paths('type'),
  namespaces: paths('status.phase'),
  nodes: { 'spec.unschedulable': withDefault('spec.unschedulable', 'false') },
  services: paths('spec.clusterIP', 'spec.type'),
  'replicasets.apps': { 'status.replicas': withDefault('status.replicas', '0') },
}
