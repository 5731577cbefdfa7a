/** The scale subresource: a kind's replicas as an autoscaling/v1 Scale, whatever the kind calls them. */
import { applyJsonPatch } from '../patch/json-patch.ts'
import { child, isJsonObject, numberAt, scalarText, text, type ApiObject, type JsonObject } from '../object.ts'
import { badRequest, invalid, pathNotFound } from '../status.ts'
import type { ScalePaths } from '../kinds/kind.ts'
import { selectorText } from '../store/selectors.ts'
import { getObject } from './read.ts'
import { subjectOf, type Scope } from './scope.ts'
import { updateObject } from './write.ts'

/** The Scale carries the resourceVersion of the object, so that it can be a precondition. */
export function scaleOf(scope: Scope, object: ApiObject): ApiObject {
  const paths = pathsOf(scope)
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata
  const selector = paths.selector === undefined ? undefined : at(object, paths.selector)
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: JSON.parse(
      JSON.stringify({ name, namespace, uid, resourceVersion, creationTimestamp }),
    ) as ApiObject['metadata'],
    spec: { replicas: Number(at(object, paths.specReplicas) ?? 0) },
    status: {
      replicas: Number(at(object, paths.statusReplicas) ?? 0),
      // Custom resources keep the selector as text already.
      ...(selector === undefined
        ? {}
        : { selector: isJsonObject(selector) ? selectorText(selector) : scalarText(selector) }),
    },
  }
}

export function getScale(scope: Scope): ApiObject {
  return scaleOf(scope, getObject(scope))
}

/** `change` turns the present Scale into the wanted one. */
export async function updateScale(scope: Scope, change: (scale: ApiObject) => JsonObject): Promise<ApiObject> {
  const paths = pathsOf(scope)
  const updated = await updateObject(scope, 'main', (object) => {
    const wanted = change(scaleOf(scope, object))
    const replicas = numberAt(child(wanted, 'spec'), 'replicas') ?? 0
    if (!Number.isInteger(replicas))
      throw badRequest('Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer')
    if (replicas < 0)
      throw invalid({ group: 'autoscaling', plural: 'scales', kind: 'Scale' }, subjectOf(scope).plural, [
        {
          path: 'spec.replicas',
          reason: 'FieldValueInvalid',
          detail: 'must be greater than or equal to 0',
          value: replicas,
        },
      ])
    const path = `/${paths.specReplicas.split('.').join('/')}`
    const next = applyJsonPatch(object, [{ op: 'add', path, value: replicas }]) as ApiObject
    const precondition = text(child(wanted, 'metadata'), 'resourceVersion')
    if (precondition !== '') next.metadata = { ...next.metadata, resourceVersion: precondition }
    return next
  })
  return scaleOf(scope, updated)
}

function pathsOf(scope: Scope): ScalePaths {
  if (scope.version.scale === undefined) throw pathNotFound()
  return scope.version.scale
}

function at(object: ApiObject, path: string): unknown {
  let value: unknown = object
  for (const segment of path.split('.')) value = isJsonObject(value) ? value[segment] : undefined
  return value
}
