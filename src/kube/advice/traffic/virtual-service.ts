/** VirtualService: what Istio's webhook refuses, and what it warns of (reference gateway-api, section 6.2). */
import type { DestinationSpec, HttpRouteSpec, VirtualService, VirtualServiceSpec } from '../../kinds/networking.ts'
import { type Flaw, warning } from '../finding.ts'
import { join } from '../fields.ts'
import { exportToFlaws, hostFlaws, invalid } from './common.ts'
import { patternFlaws } from './patterns.ts'

export function* virtualServiceFlaws({ spec = {} }: VirtualService): Iterable<Flaw> {
  const { hosts = [], http = [] } = spec
  yield* exportToFlaws(spec.exportTo)
  yield* wholeFlaws(spec)
  yield* hostFlaws(hosts, 'spec.hosts')
  for (const [index, route] of http.entries()) yield* httpFlaws(route, `spec.http[${index}]`, hosts.length === 0)
  yield* unreachable(http)
  yield* connectionFlaws(spec)
  yield* patternFlaws(http, 'spec.http')
}

function* wholeFlaws(spec: VirtualServiceSpec): Iterable<Flaw> {
  const { hosts = [], gateways = [], http = [], tls = [], tcp = [] } = spec
  if (hosts.length === 0) yield* delegateFlaws(spec)
  else if (http.length + tls.length + tcp.length === 0) yield invalid('spec', 'needs at least one of http, tls and tcp')
  const isMesh = gateways.length === 0 || gateways.includes('mesh')
  if (isMesh && hosts.includes('*')) yield invalid(`spec.hosts[${hosts.indexOf('*')}]`, 'may be "*" at gateways only')
}

function* connectionFlaws({ hosts = [], tls = [], tcp = [] }: VirtualServiceSpec): Iterable<Flaw> {
  for (const [index, { match, route }] of tls.entries()) {
    const path = `spec.tls[${index}]`
    if (match.length === 0) yield invalid(`${path}.match`, 'needs at least one match with sniHosts')
    for (const [at, { sniHosts }] of match.entries()) yield* sniFlaws(sniHosts, hosts, `${path}.match[${at}].sniHosts`)
    yield* destinationsFlaws(route ?? [], `${path}.route`)
  }
  for (const [index, { route }] of tcp.entries()) yield* destinationsFlaws(route ?? [], `spec.tcp[${index}].route`)
}

/** Without hosts it is a part that others delegate to. */
function* delegateFlaws({ gateways, tls, tcp }: VirtualServiceSpec): Iterable<Flaw> {
  const why = 'does not go with an empty hosts: this is a part that others delegate to'
  if (gateways !== undefined && gateways.length > 0) yield invalid('spec.gateways', why)
  if (tls !== undefined && tls.length > 0) yield invalid('spec.tls', why)
  if (tcp !== undefined && tcp.length > 0) yield invalid('spec.tcp', why)
}

const EXCLUDED = {
  redirect: ['fault', 'rewrite', 'route', 'directResponse', 'delegate'],
  directResponse: ['fault', 'rewrite', 'route', 'delegate'],
  delegate: ['route'],
  mirror: ['mirrors'],
} as const satisfies Partial<Record<keyof HttpRouteSpec, readonly (keyof HttpRouteSpec)[]>>

function* httpFlaws(route: HttpRouteSpec, path: string, isDelegate: boolean): Iterable<Flaw> {
  for (const [field, others] of Object.entries(EXCLUDED)) {
    if (route[field as keyof typeof EXCLUDED] === undefined) continue
    for (const other of others) {
      if (route[other] !== undefined) yield invalid(join(path, other), `does not go with ${field}`)
    }
  }
  const { delegate, redirect, directResponse } = route
  if (delegate !== undefined && isDelegate)
    yield invalid(`${path}.delegate`, 'a part that others delegate to may not delegate')
  const hasTarget = [route.route, redirect, directResponse, delegate].some((each) => each !== undefined)
  if (!hasTarget && !isDelegate) yield invalid(path, 'needs one of route, redirect, directResponse and delegate')
  if (route.route !== undefined) yield* destinationsFlaws(route.route, `${path}.route`)
  yield* redirectFlaws(redirect, `${path}.redirect`)
  yield* directResponseFlaws(directResponse, `${path}.directResponse`)
  yield* retryFlaws(route.retries, `${path}.retries`)
  yield* faultFlaws(route.fault, `${path}.fault`)
  yield* mirrorFlaws(route, path)
  yield* hostHeaderFlaws(route, path)
}

function* destinationsFlaws(
  route: readonly { readonly destination: DestinationSpec; readonly weight?: number }[],
  path: string,
): Iterable<Flaw> {
  if (route.length === 0) yield invalid(path, 'needs at least one destination')
  for (const [index, { weight = 0 }] of route.entries()) {
    if (weight < 0) yield invalid(`${path}[${index}].weight`, 'must not be negative')
  }
  const sum = route.reduce((total, { weight = 0 }) => total + weight, 0)
  if (route.length > 1 && sum === 0) yield invalid(path, 'the weights of several destinations must not all be 0')
}

function* redirectFlaws(redirect: HttpRouteSpec['redirect'], path: string): Iterable<Flaw> {
  if (redirect === undefined) return
  const { uri, prefixRewrite, redirectCode, scheme } = redirect
  if (Object.keys(redirect).every((field) => field === 'redirectCode')) {
    yield invalid(path, 'needs at least one of uri, prefixRewrite, authority, scheme and port')
  }
  if (uri !== undefined && prefixRewrite !== undefined) yield invalid(`${path}.prefixRewrite`, 'does not go with uri')
  if (redirectCode !== undefined && redirectCode !== 0 && (redirectCode < 300 || redirectCode > 399)) {
    yield invalid(`${path}.redirectCode`, 'must be from 300 to 399')
  }
  if (scheme !== undefined && scheme !== '' && scheme !== 'http' && scheme !== 'https') {
    yield invalid(`${path}.scheme`, 'must be http or https')
  }
}

const BODY_BYTES_MAX = 1_048_576

function* directResponseFlaws(response: HttpRouteSpec['directResponse'], path: string): Iterable<Flaw> {
  if (response === undefined) return
  const { status, body } = response
  if (status < 200 || status > 599) yield invalid(`${path}.status`, 'must be from 200 to 599')
  if (body?.string !== undefined && body.bytes !== undefined)
    yield invalid(`${path}.body.bytes`, 'does not go with string')
  if (Buffer.byteLength(body?.string ?? body?.bytes ?? '') > BODY_BYTES_MAX) {
    yield invalid(`${path}.body`, `may have at most ${BODY_BYTES_MAX} bytes`)
  }
}

const RETRY_ON = new Set(
  '5xx gateway-error reset reset-before-request connect-failure retriable-4xx refused-stream retriable-status-codes retriable-headers envoy-ratelimited http3-post-connect-failure cancelled deadline-exceeded internal resource-exhausted unavailable'.split(
    ' ',
  ),
)

function* retryFlaws(retries: HttpRouteSpec['retries'], path: string): Iterable<Flaw> {
  if (retries === undefined) return
  const { attempts = 0, retryOn = '' } = retries
  if (attempts < 0) yield invalid(`${path}.attempts`, 'must not be negative')
  if (retries.attempts === 0) {
    for (const field of ['perTryTimeout', 'retryOn', 'backoff'] as const) {
      if (retries[field] !== undefined) yield invalid(join(path, field), 'does not go with attempts: 0')
    }
  }
  for (const word of retryOn.split(',').map((part) => part.trim())) {
    const isStatus = /^[0-9]{3}$/.test(word) && Number(word) >= 100 && Number(word) <= 599
    if (word !== '' && !RETRY_ON.has(word) && !isStatus) yield invalid(`${path}.retryOn`, `does not know "${word}"`)
  }
}

function* faultFlaws(fault: HttpRouteSpec['fault'], path: string): Iterable<Flaw> {
  if (fault === undefined) return
  const { abort, delay } = fault
  if (abort === undefined && delay === undefined) yield invalid(path, 'needs abort, delay or both')
  if (delay !== undefined) yield* delayFlaws(delay, `${path}.delay`)
  yield* shareFlaws(abort?.percentage?.value, `${path}.abort.percentage.value`)
  const status = abort?.httpStatus ?? 200
  if (status < 200 || status > 599) yield invalid(`${path}.abort.httpStatus`, 'must be from 200 to 599')
}

type Delay = NonNullable<NonNullable<HttpRouteSpec['fault']>['delay']>

function* delayFlaws({ percent, percentage, fixedDelay, exponentialDelay }: Delay, path: string): Iterable<Flaw> {
  if (percent !== undefined) {
    const message = 'is deprecated; it counts while percentage is absent'
    yield warning({ code: 'FIELD_DEPRECATED', field: `${path}.percent`, message })
  }
  yield* shareFlaws(percent, `${path}.percent`)
  yield* shareFlaws(percentage?.value, `${path}.percentage.value`)
  if (fixedDelay === undefined && exponentialDelay === undefined) yield invalid(`${path}.fixedDelay`, 'is required')
}

function* mirrorFlaws({ mirrorPercent, mirrorPercentage, mirrors = [] }: HttpRouteSpec, path: string): Iterable<Flaw> {
  if (mirrorPercent !== undefined) {
    const message = 'is deprecated; it counts while mirrorPercentage is absent'
    yield warning({ code: 'FIELD_DEPRECATED', field: `${path}.mirrorPercent`, message })
  }
  yield* shareFlaws(mirrorPercent, `${path}.mirrorPercent`)
  yield* shareFlaws(mirrorPercentage?.value, `${path}.mirrorPercentage.value`)
  for (const [index, { percentage }] of mirrors.entries()) {
    yield* shareFlaws(percentage?.value, `${path}.mirrors[${index}].percentage.value`)
  }
}

function* shareFlaws(value: number | undefined, path: string): Iterable<Flaw> {
  if (value !== undefined && (value < 0 || value > 100)) yield invalid(path, 'must be from 0 to 100')
}

/** Two ways to say the same, which could disagree. */
function* hostHeaderFlaws({ rewrite, headers }: HttpRouteSpec, path: string): Iterable<Flaw> {
  const set = Object.keys(headers?.request?.set ?? {}).find((name) => /^(host|:authority)$/i.test(name))
  if (set !== undefined && rewrite?.authority !== undefined) {
    yield invalid(`${path}.headers.request.set.${set}`, 'does not go with rewrite.authority: both set the host')
  }
}

function* sniFlaws(sniHosts: readonly string[], hosts: readonly string[], path: string): Iterable<Flaw> {
  if (sniHosts.length === 0) yield invalid(path, 'needs at least one name')
  for (const [index, sni] of sniHosts.entries()) {
    const covered = hosts.some((host) => host === sni || (host.startsWith('*') && sni.endsWith(host.slice(1))))
    if (!covered) yield invalid(`${path}[${index}]`, `${sni} is not among the hosts`)
  }
}

/** Each request takes the first rule that matches: what stands behind a rule that matches all is never reached. */
function* unreachable(http: readonly HttpRouteSpec[]): Iterable<Flaw> {
  const seen = new Map<string, number>()
  let catchAll: number | undefined
  for (const [index, { match = [] }] of http.entries()) {
    const path = `spec.http[${index}]`
    if (catchAll !== undefined) {
      yield unreached(path, `spec.http[${catchAll}] before it matches every request`)
      continue
    }
    const texts = match.length === 0 ? ['{}'] : match.map(conditionText)
    const earlier = texts.map((text) => seen.get(text))
    if (earlier.every((at) => at !== undefined))
      yield unreached(path, `spec.http[${earlier[0]}] matches the same before it`)
    else {
      for (const [at, before] of earlier.entries()) {
        if (before !== undefined)
          yield unreached(`${path}.match[${at}]`, `spec.http[${before}] matches the same before it`)
      }
    }
    for (const text of texts) if (!seen.has(text)) seen.set(text, index)
    if (texts.includes('{}')) catchAll = index
  }
}

const unreached = (field: string, message: string): Flaw => warning({ code: 'ROUTE_UNREACHABLE', field, message })

/** Names say nothing about what matches, nor does the order of fields. */
function conditionText(match: object): string {
  const entries = Object.entries(match).filter(([field]) => field !== 'name' && field !== 'statPrefix')
  if (entries.length === 1 && JSON.stringify(entries[0]) === '["uri",{"prefix":"/"}]') return '{}'
  return JSON.stringify(Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))))
}
