/**
 * Routes that a VirtualService leaves to another one. What the delegate matches has to be a part of what the root
 * matches, else its route does nothing; what the delegate does not say, the root's route says. Pure.
 */
import type { HttpMatchSpec, HttpRouteSpec } from '../../../kube/kinds/networking.ts'
import type { VirtualServiceFacts } from '../../observe/facts-networking.ts'

export function delegatedRoutes(
  { namespace }: VirtualServiceFacts,
  route: HttpRouteSpec,
  parts: readonly VirtualServiceFacts[],
): readonly HttpRouteSpec[] {
  const { delegate, ...root } = route
  const wanted = { namespace: delegate?.namespace ?? namespace, name: delegate?.name ?? '' }
  const found = parts.find((part) => part.namespace === wanted.namespace && part.name === wanted.name)
  return (found?.spec.http ?? []).flatMap((part) => {
    // Istio nests no further.
    if (part.delegate !== undefined) return []
    const match = joinedMatches(root.match, part.match)
    return match === undefined ? [] : [joined(root, part, match)]
  })
}

function joined(root: HttpRouteSpec, part: HttpRouteSpec, match: HttpMatchSpec[]): HttpRouteSpec {
  const names = [root.name, part.name].filter((name) => name !== undefined && name !== '')
  const headers = joinedHeaders(root.headers, part.headers)
  return {
    ...root,
    ...part,
    ...(names.length > 0 && { name: names.join('-') }),
    ...(headers !== undefined && { headers }),
    match,
  }
}

function joinedHeaders(root: HttpRouteSpec['headers'], part: HttpRouteSpec['headers']): HttpRouteSpec['headers'] {
  if (root === undefined || part === undefined) return part ?? root
  const both = (one: Operations | undefined, other: Operations | undefined): Operations => ({
    set: { ...one?.set, ...other?.set },
    add: { ...one?.add, ...other?.add },
    remove: [...(one?.remove ?? []), ...(other?.remove ?? [])],
  })
  return { request: both(root.request, part.request), response: both(root.response, part.response) }
}

type Operations = NonNullable<NonNullable<HttpRouteSpec['headers']>['request']>

/** Undefined: nothing is left that both match. */
function joinedMatches(
  root: readonly HttpMatchSpec[] = [],
  part: readonly HttpMatchSpec[] = [],
): HttpMatchSpec[] | undefined {
  if (root.length === 0 || part.length === 0) return [...root, ...part]
  const pairs = root.flatMap((one) => part.flatMap((other) => joinedMatch(one, other) ?? []))
  return pairs.length === 0 ? undefined : pairs
}

function joinedMatch(root: HttpMatchSpec, part: HttpMatchSpec): HttpMatchSpec | undefined {
  const texts = (['uri', 'scheme', 'method', 'authority'] as const).every((field) => isWithin(root[field], part[field]))
  const maps = (['headers', 'withoutHeaders', 'queryParams'] as const).every((field) =>
    areWithin(root[field], part[field]),
  )
  const single = (['port', 'sourceNamespace', 'ignoreUriCase'] as const).every(
    (field) => root[field] === undefined || part[field] === undefined || root[field] === part[field],
  )
  const gateways = root.gateways === undefined || (part.gateways ?? []).every((name) => root.gateways?.includes(name))
  const labels = Object.entries(part.sourceLabels ?? {}).every(
    ([label, value]) => (root.sourceLabels?.[label] ?? value) === value,
  )
  if (!texts || !maps || !single || !gateways || !labels) return undefined
  const names = [root.name, part.name].filter((name) => name !== undefined && name !== '')
  const merged = (field: 'headers' | 'withoutHeaders' | 'queryParams' | 'sourceLabels'): object =>
    root[field] === undefined && part[field] === undefined ? {} : { [field]: { ...root[field], ...part[field] } }
  return {
    ...root,
    ...part,
    ...merged('headers'),
    ...merged('withoutHeaders'),
    ...merged('queryParams'),
    ...merged('sourceLabels'),
    ...(names.length > 0 && { name: names.join('-') }),
  }
}

type Text = HttpMatchSpec['uri']

/** Whether all that `part` matches is matched by `root`. Of regular expressions nobody can tell, but of equal ones. */
function isWithin(root: Text, part: Text): boolean {
  if (root === undefined || part === undefined) return true
  if (root.prefix !== undefined) return (part.exact ?? part.prefix)?.startsWith(root.prefix) ?? false
  return root.exact === part.exact && root.regex === part.regex
}

function areWithin(root: Readonly<Record<string, Text>> = {}, part: Readonly<Record<string, Text>> = {}): boolean {
  return Object.entries(part).every(([name, text]) => isWithin(root[name], text))
}
