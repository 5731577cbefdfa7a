/**
 * RateLimitPolicy: what its fields mean together. The control plane puts the same words into the policy's condition, and
 * runs nothing of a policy that has a flaw here.
 */
import type { RateLimitPolicy, RateLimitPolicySpec } from '../../kinds.ts'
import { type Flaw, warning } from '../finding.ts'
import { invalid, labelFlaws } from '../security/selectors.ts'
import { targetGroupFlaws } from './targets.ts'

type Limit = RateLimitPolicySpec['limits'][number]
type Key = NonNullable<Limit['by']>[number]

const HEADER = /^[A-Za-z0-9!#$%&'*+.^_|~-]{1,128}$/
const CLAIM = /^([A-Za-z0-9_.:/-]{1,128}|(\[[^[\]]{1,64}\]){1,4})$/
const NAMES: ReadonlyMap<Key['type'], RegExp> = new Map([
  ['Header', HEADER],
  ['Claim', CLAIM],
])
/** What of a client's own choosing names it: a new value is a new limit. */
const CHOSEN: ReadonlySet<Key['type']> = new Set(['Header', 'Path'])

export function* rateLimitFlaws({ spec }: RateLimitPolicy): Iterable<Flaw> {
  const { targetRefs = [], selector, scope = 'proxy', whenUnavailable, limits } = spec
  if (targetRefs.length > 0 && selector !== undefined)
    yield invalid('spec', 'may have only one of selector and targetRefs')
  yield* targetGroupFlaws(targetRefs)
  yield* labelFlaws(selector)
  if (scope === 'proxy' && whenUnavailable === 'refuse') {
    yield invalid('spec.whenUnavailable', 'goes with scope cluster: a proxy that counts for itself asks nobody')
  }
  const names = new Set<string>()
  for (const [index, limit] of limits.entries()) {
    const at = `spec.limits[${index}]`
    if (names.has(limit.name)) yield invalid(`${at}.name`, `${limit.name} is there twice`)
    names.add(limit.name)
    yield* limitFlaws(at, limit)
  }
}

/** Warnings only: they hold, and perhaps not as meant. */
export function* rateLimitAdvice({ spec }: RateLimitPolicy): Iterable<Flaw> {
  for (const [index, { by = [] }] of spec.limits.entries()) {
    if (by.length === 0 || !by.every(({ type }) => CHOSEN.has(type))) continue
    yield warning({
      code: 'LIMIT_EVADABLE',
      field: `spec.limits[${index}].by`,
      message: 'is of the client’s choosing: who sends another value with each request is never limited',
    })
  }
}

function* limitFlaws(at: string, { by = [], quotas = [], when }: Limit): Iterable<Flaw> {
  for (const [index, key] of by.entries()) yield* keyFlaws(`${at}.by[${index}]`, key)
  const seen = new Set<string>()
  for (const [index, { values }] of quotas.entries()) {
    const field = `${at}.quotas[${index}].values`
    if (values.length !== by.length) yield invalid(field, `must be as many as the keys of by: ${by.length}`)
    const text = JSON.stringify(values)
    if (seen.has(text)) yield invalid(field, 'is there twice')
    seen.add(text)
  }
  for (const [index, path] of (when?.paths ?? []).entries()) {
    const inner = path.slice(1, -1)
    const isForm = !inner.includes('*') && !/[?#]/.test(path) && (path.startsWith('/') || path.startsWith('*'))
    if (!isForm) yield invalid(`${at}.when.paths[${index}]`, 'must be a path without query, with * at one end or none')
  }
}

function* keyFlaws(at: string, { type, name, ipv4Bits, ipv6Bits }: Key): Iterable<Flaw> {
  const form = NAMES.get(type)
  if (form === undefined && name !== undefined) yield invalid(`${at}.name`, `does not go with ${type}`)
  if (form !== undefined && name === undefined) yield invalid(`${at}.name`, `is required with ${type}`)
  if (form !== undefined && name !== undefined && !form.test(name))
    yield invalid(`${at}.name`, `is no name of a ${type}`)
  if (type !== 'Address' && (ipv4Bits !== undefined || ipv6Bits !== undefined)) {
    yield invalid(at, `has bits of an address, which do not go with ${type}`)
  }
}
