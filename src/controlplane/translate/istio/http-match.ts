/**
 * HTTPMatchRequest to route matches. What a request cannot show (who calls, by which port) is decided here, so that a
 * proxy only gets the routes that may match for it.
 */
import type { HttpMatchSpec } from '../../../kube/kinds/networking.ts'
import type { HeaderMatch, QueryMatch, RouteMatch, StringMatch } from '../../../model/config.ts'
import { hasLabels, MESH_GATEWAY } from './names.ts'

/** Who calls, as far as rules may ask. */
export interface Caller {
  readonly namespace: string
  /** Those that some rule asks for. */
  readonly labels: Readonly<Record<string, string>>
}

/** The requests that a list of routes is for. */
export interface Requests {
  readonly caller: Caller
  /** The port of the service that is called. */
  readonly port: number
  /** Whether rules for these gateways, as they are named, are meant. Absent: for sidecars. */
  readonly isFor?: (gateways: readonly string[]) => boolean
}

const FOR_SIDECARS = (gateways: readonly string[]): boolean => gateways.includes(MESH_GATEWAY)

const ANY: RouteMatch = { kind: 'prefix', prefix: '/' }

/** One for each alternative; none: nothing of it is for this caller. A route without matches takes everything. */
export function routeMatches(matches: readonly HttpMatchSpec[] | undefined, requests: Requests): NamedMatch[] {
  if (matches === undefined || matches.length === 0) return [{ match: ANY, name: '' }]
  return matches
    .filter((match) => concerns(match, requests))
    .map((match) => ({ match: toMatch(match), name: match.name ?? '' }))
}

export interface NamedMatch {
  readonly match: RouteMatch
  /** Empty: it has none. */
  readonly name: string
}

/** What both kinds of rules ask of the caller; HTTP and connections alike. */
export interface CallerMatch {
  readonly port?: number
  readonly sourceLabels?: Readonly<Record<string, string>>
  readonly sourceNamespace?: string
  readonly gateways?: readonly string[]
}

export function concerns(match: CallerMatch, { caller, port, isFor = FOR_SIDECARS }: Requests): boolean {
  if (match.port !== undefined && match.port !== port) return false
  if (match.gateways !== undefined && match.gateways.length > 0 && !isFor(match.gateways)) return false
  // Empty is protobuf's way to say nothing.
  const { sourceNamespace = '' } = match
  if (sourceNamespace !== '' && sourceNamespace !== caller.namespace) return false
  return hasLabels(caller.labels, match.sourceLabels)
}

function toMatch(match: HttpMatchSpec): RouteMatch {
  const headers = headerMatches(match)
  const query = Object.entries(match.queryParams ?? {}).map(([name, is]): QueryMatch => ({
    name,
    is: textOrPresent(is),
  }))
  return {
    ...pathMatch(match),
    ...(headers.length > 0 && { headers }),
    ...(query.length > 0 && { query }),
  }
}

function pathMatch({ uri, ignoreUriCase }: HttpMatchSpec): RouteMatch {
  if (uri?.regex !== undefined) return { kind: 'regex', regex: uri.regex }
  const ignoreCase = ignoreUriCase === true ? { ignoreCase: true as const } : {}
  if (uri?.exact !== undefined) return { kind: 'path', path: uri.exact, ...ignoreCase }
  if (uri?.prefix !== undefined) return { kind: 'prefix', prefix: uri.prefix, ...ignoreCase }
  return ANY
}

/** Istio ignores these among `headers`: they have fields of their own. */
const OWN_FIELDS = new Set(['uri', 'scheme', 'method', 'authority'])

function headerMatches(match: HttpMatchSpec): HeaderMatch[] {
  const pseudo = (['scheme', 'method', 'authority'] as const).flatMap((field): HeaderMatch[] => {
    const is = match[field]
    return is === undefined ? [] : [{ name: `:${field}`, is: textOrPresent(is) }]
  })
  const wanted = Object.entries(match.headers ?? {})
    .filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, is]): HeaderMatch => ({ name: name.toLowerCase(), is: textOrPresent(is) }))
  return [...pseudo, ...wanted, ...Object.entries(match.withoutHeaders ?? {}).map(unwanted)]
}

/** A header that is not there does not have the value either. */
function unwanted([field, is]: [string, Text]): HeaderMatch {
  const name = field.toLowerCase()
  const text = textOf(is)
  if (text === undefined) return { name, is: { kind: 'present', present: false } }
  return { name, is: text, invert: true, missingIsEmpty: true }
}

type Text = NonNullable<HttpMatchSpec['uri']>

/** Nothing said about the value: it only has to be there. */
const textOrPresent = (text: Text): StringMatch | { kind: 'present'; present: boolean } =>
  textOf(text) ?? { kind: 'present', present: true }

export function textOf({ exact, prefix, regex }: Text): StringMatch | undefined {
  if (exact !== undefined) return { kind: 'exact', value: exact }
  if (prefix !== undefined) return { kind: 'prefix', value: prefix }
  return regex === undefined ? undefined : { kind: 'regex', value: regex }
}
