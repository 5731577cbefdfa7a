/** AuthorizationPolicy: what Istio's webhook refuses, and the rules that do more or less than they seem to. */
import { isIP } from 'node:net'
import type { AuthorizationPolicy, AuthorizationPolicySpec } from '../../kinds.ts'
import { error, type Flaw, warning } from '../finding.ts'
import { invalid, scopeFlaws } from './selectors.ts'

type Rule = NonNullable<AuthorizationPolicySpec['rules']>[number]
type Lists = Readonly<Record<string, readonly string[] | undefined>>

const WHEN_KEYS: ReadonlySet<string> = new Set([
  'source.ip',
  'remote.ip',
  'source.namespace',
  'source.serviceAccount',
  'source.trustDomain',
  'source.principal',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'destination.ip',
  'destination.port',
  'connection.sni',
  // Ours: whom an AuthenticationPolicy found.
  'isthmus.consumer',
])
const WHEN_PATTERNS = /^(request\.headers\[[^[\]]+\]|request\.auth\.claims(\[[^[\]]+\])+)$/
const ADDRESS_KEYS: ReadonlySet<string> = new Set(['source.ip', 'remote.ip', 'destination.ip'])
const HTTP_KEYS = /^(request\.|isthmus\.consumer$)/
const HTTP_FIELDS: ReadonlySet<string> = new Set([
  'requestPrincipals',
  'notRequestPrincipals',
  'hosts',
  'notHosts',
  'methods',
  'notMethods',
  'paths',
  'notPaths',
])

export function* authorizationPolicyFlaws({ metadata, spec = {} }: AuthorizationPolicy): Iterable<Flaw> {
  yield* scopeFlaws(spec, metadata.namespace ?? 'default')
  yield* actionFlaws(spec)
  const { action = 'ALLOW', rules = [] } = spec
  for (const [index, rule] of rules.entries()) {
    const at = `spec.rules[${index}]`
    yield* ruleFlaws(at, rule)
    yield* whenFlaws(at, rule, action)
    if (action === 'DENY' && isAboutRequestsOnly(rule)) yield deniesBytes(at)
  }
}

function* whenFlaws(at: string, { when = [] }: Rule, action: string): Iterable<Flaw> {
  for (const [index, { key, values = [], notValues = [] }] of when.entries()) {
    const where = `${at}.when[${index}]`
    if (!WHEN_KEYS.has(key) && !WHEN_PATTERNS.test(key)) yield unknownKey(where, key, action)
    if (values.length === 0 && notValues.length === 0) yield invalid(where, 'needs values or notValues')
    for (const value of [...values, ...notValues]) yield* valueFlaws(where, key, value)
  }
}

function* actionFlaws({ action = 'ALLOW', provider, rules = [] }: AuthorizationPolicySpec): Iterable<Flaw> {
  if (action === 'CUSTOM' && (provider?.name ?? '') === '')
    yield invalid('spec.provider.name', 'is required with CUSTOM')
  if (action !== 'CUSTOM' && provider !== undefined) yield invalid('spec.provider', 'goes with CUSTOM only')
  if ((action === 'DENY' || action === 'CUSTOM') && rules.length === 0) {
    yield invalid('spec.rules', `is required with ${action}: without rules it would match nothing`)
  }
}

const deniesBytes = (field: string): Flaw =>
  warning({
    code: 'DENY_REFUSES_TCP',
    field,
    message: 'asks only for what requests have, so it refuses all connections of ports that are not HTTP',
  })

function isAboutRequestsOnly({ from = [], to = [], when = [] }: Rule): boolean {
  const lists = [
    ...from.map(({ source = {} }) => source),
    ...to.map(({ operation = {} }) => operation),
  ] as readonly Lists[]
  const fields = lists.flatMap((one) =>
    Object.entries(one).flatMap(([name, values]) => (values === undefined ? [] : [name])),
  )
  const keys = when.map(({ key }) => key)
  const isHttp = [...fields.map((name) => HTTP_FIELDS.has(name)), ...keys.map((key) => HTTP_KEYS.test(key))]
  return isHttp.length > 0 && isHttp.every(Boolean)
}

function* ruleFlaws(at: string, { from, to }: Rule): Iterable<Flaw> {
  if (from?.length === 0) yield invalid(`${at}.from`, 'must not be an empty list')
  if (to?.length === 0) yield invalid(`${at}.to`, 'must not be an empty list')
  for (const [index, { source }] of (from ?? []).entries()) yield* sourceFlaws(`${at}.from[${index}].source`, source)
  for (const [index, { operation }] of (to ?? []).entries()) {
    yield* operationFlaws(`${at}.to[${index}].operation`, operation)
  }
}

/** Istio's own extension keys begin with `experimental.`; those are stored and match as an unknown key does. */
function unknownKey(place: string, key: string, action: string): Flaw {
  if (!key.startsWith('experimental.')) return invalid(`${place}.key`, `${key} is no attribute`)
  const effect = action === 'ALLOW' ? 'the rule matches nothing' : 'the condition counts as met'
  return error({ code: 'FIELD_UNSUPPORTED', field: `${place}.key`, message: `${key} is not supported: ${effect}` })
}

function* valueFlaws(place: string, key: string, value: string): Iterable<Flaw> {
  if (ADDRESS_KEYS.has(key) && !isBlock(value)) yield invalid(place, `${value} is no address or range of addresses`)
  if (key === 'destination.port' && !isPort(value)) yield invalid(place, `${value} is no port`)
  if (key === 'source.serviceAccount') yield* accountFlaws(place, value)
}

const BESIDE_ACCOUNTS = ['principals', 'notPrincipals', 'namespaces', 'notNamespaces']

function* sourceFlaws(field: string, source: Lists = {}): Iterable<Flaw> {
  yield* listFlaws(field, source)
  const has = (name: string): boolean => (source[name]?.length ?? 0) > 0
  if ((has('serviceAccounts') || has('notServiceAccounts')) && BESIDE_ACCOUNTS.some(has)) {
    yield invalid(field, 'may not have serviceAccounts beside principals or namespaces')
  }
  for (const [name, check] of SOURCE_CHECKS) {
    for (const [index, value] of (source[name] ?? []).entries()) yield* check(`${field}.${name}[${index}]`, value)
  }
}

const SOURCE_CHECKS: readonly (readonly [string, (field: string, value: string) => Iterable<Flaw>])[] = [
  ...['ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'].map((name) => [name, blockFlaws] as const),
  ...['principals', 'notPrincipals'].map((name) => [name, principalFlaws] as const),
  ...['serviceAccounts', 'notServiceAccounts'].map((name) => [name, accountFlaws] as const),
]

function* blockFlaws(field: string, value: string): Iterable<Flaw> {
  if (!isBlock(value)) yield invalid(field, `${value} is no address or range of addresses`)
}

function* principalFlaws(field: string, value: string): Iterable<Flaw> {
  if (value.startsWith('spiffe://')) yield invalid(field, 'is written without spiffe://')
}

function* accountFlaws(field: string, value: string): Iterable<Flaw> {
  if (value.includes('*')) yield invalid(field, 'takes no wildcards')
  else if (!/^([a-z0-9]([-a-z0-9]*[a-z0-9])?\/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value)) {
    yield invalid(field, 'must be `namespace/account`, or an account of the own namespace')
  }
}

function* operationFlaws(field: string, operation: Lists = {}): Iterable<Flaw> {
  yield* listFlaws(field, operation)
  for (const name of ['ports', 'notPorts']) {
    for (const [index, value] of (operation[name] ?? []).entries()) {
      if (!isPort(value)) yield invalid(`${field}.${name}[${index}]`, `${value} is no port`)
    }
  }
  for (const name of ['paths', 'notPaths']) {
    for (const [index, value] of (operation[name] ?? []).entries())
      yield* templateFlaws(`${field}.${name}[${index}]`, value)
  }
}

/** `{*}` and `{**}` stand for whole segments, `{**}` once and last but for fixed text, beside no other wildcard. */
function* templateFlaws(field: string, value: string): Iterable<Flaw> {
  const problem = /[{}]/.test(value) ? templateProblem(value) : undefined
  if (problem !== undefined) yield invalid(field, problem)
}

function templateProblem(value: string): string | undefined {
  if (!/\{\*\*?\}/.test(value)) return 'has braces that are neither {*} nor {**}'
  if (/[{}*]/.test(value.replaceAll(/\{\*\*?\}/g, ''))) return 'has another wildcard beside {*} and {**}'
  if (!value.startsWith('/')) return 'must begin with a slash'
  const segments = value.split('/').slice(1)
  if (segments.some((segment) => segment.includes('{') && !/^\{\*\*?\}[^{}]*$/.test(segment))) {
    return '{*} and {**} stand at the beginning of a segment'
  }
  const open = segments.findIndex((segment) => segment.startsWith('{**}'))
  const isFollowed = open >= 0 && segments.slice(open + 1).some((segment) => segment.includes('{'))
  return isFollowed ? 'has a {*} or {**} after {**}' : undefined
}

function* listFlaws(field: string, lists: Lists): Iterable<Flaw> {
  const said = Object.entries(lists).filter(([, values]) => values !== undefined)
  if (said.length === 0) yield invalid(field, 'must not be empty')
  for (const [name, values] of said)
    if (values?.length === 0) yield invalid(`${field}.${name}`, 'must not be an empty list')
}

const isPort = (value: string): boolean => /^[0-9]{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535

function isBlock(value: string): boolean {
  const [address = '', bits] = value.split('/')
  const family = isIP(address)
  if (family === 0 || value.split('/').length > 2) return false
  if (bits === undefined) return true
  return /^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32)
}
