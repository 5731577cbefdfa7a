/**
 * AuthenticationPolicy: what its fields mean together. A policy that has a flaw here is in force all the same, as one that
 * knows nobody: a door that its owner wanted must not stand open over a mistake.
 */
import type { AuthenticationPolicy, AuthenticationPolicySpec } from '../../kinds.ts'
import type { Flaw } from '../finding.ts'
import { invalid, labelFlaws } from '../security/selectors.ts'
import { targetGroupFlaws } from './targets.ts'

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_|~-]+$/
const PARAMETER = /^[A-Za-z0-9_.~-]+$/
/** Fields that frame a message, carry identity, or are the credentials themselves. */
const RESERVED =
  /^(host|connection|content-length|content-type|expect|keep-alive|te|transfer-encoding|upgrade|proxy-.*|isthmus-.*|x-isthmus-limit-.*|x-forwarded-.*|authorization|cookie)$/i

export function* authenticationFlaws({ spec }: AuthenticationPolicy): Iterable<Flaw> {
  const { targetRefs = [], selector, apiKeys, basic, identityHeader = '', exclude = [] } = spec
  if (targetRefs.length > 0 && selector !== undefined) {
    yield invalid('spec', 'may have only one of selector and targetRefs')
  }
  yield* targetGroupFlaws(targetRefs)
  yield* labelFlaws(selector)
  if (apiKeys === undefined && basic === undefined)
    yield invalid('spec', 'needs apiKeys or basic: without it nobody is known')
  yield* sourceFlaws(apiKeys)
  if (RESERVED.test(identityHeader)) yield invalid('spec.identityHeader', `may not be ${identityHeader}`)
  for (const [index, path] of exclude.entries()) {
    const isForm = path.startsWith('/') && !path.slice(0, -1).includes('*') && !/[?#]/.test(path)
    if (!isForm) yield invalid(`spec.exclude[${index}]`, 'must be a path without query, with * at its end or none')
  }
}

function* sourceFlaws(apiKeys: AuthenticationPolicySpec['apiKeys']): Iterable<Flaw> {
  for (const [index, { type, name }] of (apiKeys?.from ?? []).entries()) {
    const at = `spec.apiKeys.from[${index}].name`
    const form = type === 'Query' ? PARAMETER : TOKEN
    if (!form.test(name)) yield invalid(at, `is no name of a ${type.toLowerCase()}`)
    const isReserved = type === 'Header' && name.toLowerCase() !== 'authorization' && RESERVED.test(name)
    if (isReserved) yield invalid(at, `may not be ${name}`)
  }
}
