/**
 * What a URL means: `/apis/<group>/<version>/namespaces/<ns>/<plural>/<name>/<subresource>` taken apart, and the verb
 * that authorization sees. Pure; says nothing about whether the resource exists.
 */
export interface RequestInfo {
  /** `/api` or `/apis` paths that name a resource; everything else is `undefined` fields and only a path. */
  readonly isResource: boolean
  readonly verb: string
  readonly path: string
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespace: string
  readonly name: string
  readonly subresource: string
}

/** Subresources of a Namespace: any other third segment is a resource inside it. */
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize'])

/** Segments are decoded one by one: an escaped slash is part of a name. */
export function parseRequest(method: string, path: string, query: URLSearchParams): RequestInfo {
  const segments = path
    .split('/')
    .filter((segment) => segment !== '')
    .map(decode)
  const target = resourceSegments(segments)
  if (target === undefined) return plainPath(method, path)
  const { group, version, rest } = target
  const scope = namespaceOf(rest)
  const [plural = '', name = '', ...subresource] = scope.rest
  if (plural === '') return plainPath(method, path)
  return {
    isResource: true,
    verb: resourceVerb(method, name !== '', query),
    path,
    group,
    version,
    plural,
    namespace: scope.namespace,
    name,
    subresource: subresource.join('/'),
  }
}

/** A broken escape stays as it is and will name nothing. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function resourceSegments(segments: string[]): { group: string; version: string; rest: string[] } | undefined {
  const [root, first, second, ...others] = segments
  if (root === 'api' && first !== undefined) return { group: '', version: first, rest: segments.slice(2) }
  if (root === 'apis' && first !== undefined && second !== undefined)
    return { group: first, version: second, rest: others }
  return undefined
}

function namespaceOf(segments: string[]): { namespace: string; rest: string[] } {
  const [head, namespace, third] = segments
  if (head !== 'namespaces' || namespace === undefined) return { namespace: '', rest: segments }
  if (third === undefined || NAMESPACE_SUBRESOURCES.has(third)) return { namespace, rest: segments }
  return { namespace, rest: segments.slice(2) }
}

function plainPath(method: string, path: string): RequestInfo {
  const verb = method.toLowerCase()
  return { isResource: false, verb, path, group: '', version: '', plural: '', namespace: '', name: '', subresource: '' }
}

/** The verbs of RBAC, which are finer than HTTP methods. */
function resourceVerb(method: string, named: boolean, query: URLSearchParams): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (isTrue(query.get('watch'))) return 'watch'
      return named ? 'get' : 'list'
    case 'POST':
      return 'create'
    case 'PUT':
      return 'update'
    case 'PATCH':
      return 'patch'
    case 'DELETE':
      return named ? 'delete' : 'deletecollection'
    default:
      return method.toLowerCase()
  }
}

export function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1'
}
