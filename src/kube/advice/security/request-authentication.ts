/** RequestAuthentication: what Istio's webhook refuses. */
import type { RequestAuthentication, RequestAuthenticationSpec } from '../../kinds.ts'
import { isForbiddenTarget } from '../../../runtime/forbidden.ts'
import { istioDurationMs } from '../../durations.ts'
import { error, type Flaw } from '../finding.ts'
import { invalid, scopeFlaws } from './selectors.ts'

type Rule = NonNullable<RequestAuthenticationSpec['jwtRules']>[number]

export function* requestAuthenticationFlaws({ metadata, spec = {} }: RequestAuthentication): Iterable<Flaw> {
  yield* scopeFlaws(spec, metadata.namespace ?? 'default')
  for (const [index, rule] of (spec.jwtRules ?? []).entries()) yield* ruleFlaws(`spec.jwtRules[${index}]`, rule)
}

function* ruleFlaws(at: string, rule: Rule): Iterable<Flaw> {
  const { jwks = '', jwksUri = '', timeout } = rule
  if (jwks !== '' && jwksUri !== '') yield invalid(at, 'may have only one of jwks and jwksUri')
  if (jwks !== '' && !isKeySet(jwks)) yield invalid(`${at}.jwks`, 'is no JSON Web Key Set with a key in it')
  if (jwksUri !== '') yield* uriFlaws(`${at}.jwksUri`, jwksUri)
  // They are found through the issuer's OpenID configuration.
  else if (jwks === '') yield* uriFlaws(`${at}.issuer`, rule.issuer)
  if (timeout !== undefined && (istioDurationMs(timeout) ?? 0) < 1)
    yield invalid(`${at}.timeout`, 'must be at least 1ms')
  for (const [place, header] of (rule.outputClaimToHeaders ?? []).entries()) {
    if (!/^[-_A-Za-z0-9]+$/.test(header.header))
      yield invalid(`${at}.outputClaimToHeaders[${place}].header`, 'is no name of a header')
  }
}

const MESH_HOST = /\.svc\.(cluster|clusterset)\.local$/

function* uriFlaws(field: string, uri: string): Iterable<Flaw> {
  const parsed = URL.canParse(uri) ? new URL(uri) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    // An issuer may be called anything; then nobody can say where its keys are.
    yield field.endsWith('issuer') ? notFetched(field) : invalid(field, 'must be an http or https URL')
  } else if (parsed.username !== '' || parsed.password !== '') {
    yield invalid(field, 'must not hold a password: URLs are logged')
  } else if (isForbiddenTarget(parsed.host)) {
    yield error({ code: 'ADDRESS_FORBIDDEN', field, message: `${parsed.host} is no address that anyone may ask` })
  } else if (parsed.protocol === 'http:' && (!MESH_HOST.test(parsed.hostname) || field.endsWith('issuer'))) {
    yield notFetched(field)
  }
}

/** Fails closed, and never in silence. */
const notFetched = (field: string): Flaw =>
  error({
    code: 'FIELD_UNSUPPORTED',
    field,
    message: 'keys come over https, or from services of the mesh, so every token of this issuer is refused',
    hint: 'Name an https address, put the keys into `jwks`, or name a service: http://<service>.<namespace>.svc.cluster.local/….',
  })

function isKeySet(text: string): boolean {
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: unknown }
    return Array.isArray(keys) && keys.length > 0
  } catch {
    return false
  }
}
