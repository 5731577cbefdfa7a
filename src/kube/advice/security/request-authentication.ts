/** RequestAuthentication: what Istio's webhook refuses. */
import type { RequestAuthentication } from '../../kinds.ts'
import { istioDurationMs } from '../../durations.ts'
import { type Flaw, warning } from '../finding.ts'
import { invalid, scopeFlaws } from './selectors.ts'

type Rule = NonNullable<RequestAuthentication['spec']['jwtRules']>[number]

export function* requestAuthenticationFlaws({ metadata, spec = {} }: RequestAuthentication): Iterable<Flaw> {
  yield* scopeFlaws(spec, metadata.namespace ?? 'default')
  for (const [index, rule] of (spec.jwtRules ?? []).entries()) yield* ruleFlaws(`spec.jwtRules[${index}]`, rule)
}

function* ruleFlaws(at: string, rule: Rule): Iterable<Flaw> {
  const { jwks = '', jwksUri = '', timeout } = rule
  if (jwks !== '' && jwksUri !== '') yield invalid(at, 'may have only one of jwks and jwksUri')
  if (jwks !== '' && !isKeySet(jwks)) yield invalid(`${at}.jwks`, 'is no JSON Web Key Set with a key in it')
  if (jwksUri !== '') yield* uriFlaws(`${at}.jwksUri`, jwksUri)
  if (timeout !== undefined && (istioDurationMs(timeout) ?? 0) < 1)
    yield invalid(`${at}.timeout`, 'must be at least 1ms')
  for (const [place, header] of (rule.outputClaimToHeaders ?? []).entries()) {
    if (!/^[-_A-Za-z0-9]+$/.test(header.header))
      yield invalid(`${at}.outputClaimToHeaders[${place}].header`, 'is no name of a header')
  }
}

function* uriFlaws(field: string, uri: string): Iterable<Flaw> {
  const parsed = URL.canParse(uri) ? new URL(uri) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:')
    return yield invalid(field, 'must be an http or https URL')
  if (parsed.username !== '' || parsed.password !== '')
    return yield invalid(field, 'must not hold a password: URLs are logged')
  const isMeshHost = /\.(svc|local)$|\.svc\./.test(parsed.hostname)
  if (parsed.protocol === 'http:' && !isMeshHost) {
    yield warning({
      code: 'PLAINTEXT_KEYS',
      field,
      message: 'keys that come in plaintext from outside the mesh can be anyone’s',
    })
  }
}

function isKeySet(text: string): boolean {
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: unknown }
    return Array.isArray(keys) && keys.length > 0
  } catch {
    return false
  }
}
