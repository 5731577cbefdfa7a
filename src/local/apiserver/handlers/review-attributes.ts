/** The attributes that an access review asks about, in the form that authorization decides on. */
import type { Attributes } from '../auth/rbac.ts'
import { child, text, type JsonObject } from '../object.ts'
import { badRequest } from '../status.ts'

export function aggregatedAttributes(spec: JsonObject): Attributes {
  const nonResource = child(spec, 'nonResourceAttributes')
  if (spec['nonResourceAttributes'] !== undefined && spec['resourceAttributes'] === undefined)
    return { verb: text(nonResource, 'verb'), path: text(nonResource, 'path') }
  if (spec['resourceAttributes'] === undefined)
    throw badRequest(
      'spec.resourceAttributes: exactly one of nonResourceAttributes or resourceAttributes must be specified',
    )
  const asked = child(spec, 'resourceAttributes')
  return resourceAttributes({
    verb: text(asked, 'verb'),
    group: text(asked, 'group'),
    resource: text(asked, 'resource'),
    subresource: text(asked, 'subresource'),
    name: text(asked, 'name'),
    namespace: text(asked, 'namespace'),
  })
}

/** Empty strings become absent fields. */
export function resourceAttributes(from: {
  verb: string
  group: string
  resource: string
  subresource: string
  name: string
  namespace: string
}): Attributes {
  const { verb, group, resource, subresource, name, namespace } = from
  return {
    verb,
    group,
    resource,
    ...(subresource === '' ? {} : { subresource }),
    ...(name === '' ? {} : { name }),
    ...(namespace === '' ? {} : { namespace }),
  }
}
