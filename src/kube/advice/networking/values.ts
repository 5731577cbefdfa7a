/** Values that nothing here acts on, in fields that are supported otherwise; and header values that no proxy would take. */
import { parseFormat } from '../../../model/log-format.ts'
import type {
  DestinationRule,
  HttpRouteSpec,
  ServiceEntry,
  TrafficPolicySpec,
  VirtualService,
} from '../../kinds/networking.ts'
import { fieldsAt, join } from '../fields.ts'
import { error, type Flaw } from '../finding.ts'

/** Envoy's, and this proxy's. */
const BODY_BYTES_MAX = 4_096

const unsupported = (field: string, message: string, hint?: string): Flaw =>
  error({ code: 'FIELD_UNSUPPORTED', field, message, ...(hint !== undefined && { hint }) })

export function* virtualServiceValues({ spec = {} }: VirtualService): Iterable<Flaw> {
  const { http = [] } = spec
  for (const [index, route] of http.entries()) yield* routeValues(route, `spec.http[${index}]`)
}

function* routeValues(route: HttpRouteSpec, path: string): Iterable<Flaw> {
  const { directResponse, corsPolicy, retries } = route
  const body = directResponse?.body
  const text = body?.string ?? Buffer.from(body?.bytes ?? '', 'base64').toString('utf8')
  if (Buffer.byteLength(text) > BODY_BYTES_MAX) {
    yield unsupported(`${path}.directResponse.body`, `is longer than ${BODY_BYTES_MAX} bytes, and left out`)
  }
  if (corsPolicy?.unmatchedPreflights === 'IGNORE') {
    yield unsupported(`${path}.corsPolicy.unmatchedPreflights`, 'IGNORE: preflights that match nothing are forwarded')
  }
  if (retries?.retryIgnorePreviousHosts === false) {
    yield unsupported(
      `${path}.retries.retryIgnorePreviousHosts`,
      'a retry goes elsewhere while there is another endpoint',
    )
  }
  yield* headerValues(route, path)
}

function* headerValues(route: HttpRouteSpec, path: string): Iterable<Flaw> {
  // Most routes change no header, and rules run where requests for admission wait.
  if (route.headers === undefined && route.route?.every(({ headers }) => headers === undefined) !== false) return
  for (const at of ['headers', 'route[].headers']) {
    for (const direction of ['request', 'response']) {
      for (const operation of ['set', 'add']) yield* formatFlaws(route, `${at}.${direction}.${operation}.*`, path)
    }
  }
}

/** Values are formats: `%REQ(name)%` is the request's field, and a percent sign alone is `%%`. */
function* formatFlaws(route: HttpRouteSpec, pattern: string, path: string): Iterable<Flaw> {
  for (const { path: field, value } of fieldsAt(route, pattern)) {
    const parsed = parseFormat(typeof value === 'string' ? value : '')
    if ('fault' in parsed) yield error({ code: 'FIELD_INVALID', field: join(path, field), message: parsed.fault })
  }
}

export function* destinationRuleValues({ spec }: DestinationRule): Iterable<Flaw> {
  yield* policyValues(spec?.trafficPolicy, 'spec.trafficPolicy')
  for (const [index, { trafficPolicy }] of (spec?.subsets ?? []).entries()) {
    yield* policyValues(trafficPolicy, `spec.subsets[${index}].trafficPolicy`)
  }
}

function* policyValues(policy: TrafficPolicySpec | undefined, path: string): Iterable<Flaw> {
  const ports = (policy?.portLevelSettings ?? []).map(({ tls }, index) => ({
    tls,
    at: `${path}.portLevelSettings[${index}]`,
  }))
  for (const { tls, at } of [{ tls: policy?.tls, at: path }, ...ports]) {
    if (tls?.mode === 'ISTIO_MUTUAL' && tls.sni !== undefined && tls.sni !== '') {
      yield unsupported(`${at}.tls.sni`, 'the mesh’s own names tell its ports apart', 'Remove it, or use mode MUTUAL.')
    }
  }
}

export function* serviceEntryValues({ spec }: ServiceEntry): Iterable<Flaw> {
  if (spec?.resolution === 'DYNAMIC_DNS') {
    yield unsupported(
      'spec.resolution',
      'DYNAMIC_DNS: the hosts are not known to proxies',
      'Name the hosts, and use DNS.',
    )
  }
  for (const [index, address] of (spec?.addresses ?? []).entries()) {
    if (/\/(?!32$|128$)/.test(address)) {
      yield unsupported(`spec.addresses[${index}]`, 'connections are known by single addresses', 'List the addresses.')
    }
  }
  for (const [index, { address = '' }] of (spec?.endpoints ?? []).entries()) {
    if (address.startsWith('unix:')) {
      yield unsupported(`spec.endpoints[${index}].address`, 'unix sockets are not dialled', 'Listen at an address.')
    }
  }
}
