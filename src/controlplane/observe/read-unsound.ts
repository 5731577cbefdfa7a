/**
 * What stands for a security policy that is refused and of which no good version is known: one that was stored before
 * the webhook was there, or while it was away, or of which this control plane saw nothing else yet. To leave it out would
 * open what its author wanted closed, so where it applies nobody is admitted, or nobody without mTLS, until it is mended.
 */
import type { AuthorizationPolicy, PeerAuthentication, RequestAuthentication } from '../../kube/kinds.ts'
import { isRecord } from '../../kube/advice/fields.ts'
import type { KubeObject } from '../../kube/object.ts'
import { nobodysKeys } from '../translate/security/nobodys-key.ts'
import type {
  AuthorizationPolicyFacts,
  PeerAuthenticationFacts,
  PolicyScope,
  PolicyTarget,
  RequestAuthenticationFacts,
} from './facts-security.ts'
import { DRY_RUN_ANNOTATION, scopeWith, targetOf } from './read-security.ts'

export function nobodyInstead(policy: AuthorizationPolicy): AuthorizationPolicyFacts | undefined {
  // What only writes things down closes nothing.
  if (policy.metadata.annotations?.[DRY_RUN_ANNOTATION] === 'true' || policy.spec?.action === 'AUDIT') return undefined
  return { ...scopeOf(policy), action: 'ALLOW', provider: '', rules: [], dryRun: false }
}

/** No token is good: neither its author's, nor those that it was to tell from them. */
export function noTokensInstead(policy: RequestAuthentication): RequestAuthenticationFacts {
  return { ...scopeOf(policy), rules: [{ issuer: 'nobody', jwks: nobodysKeys() }] }
}

export function strictInstead(policy: PeerAuthentication): PeerAuthenticationFacts {
  return { ...scopeOf(policy), mode: 'STRICT', ports: {} }
}

/** Where the policy says so plainly, that; otherwise its namespace. Nothing of it was held to a schema. */
function scopeOf(object: KubeObject & { readonly spec?: unknown }): PolicyScope {
  const { spec } = object
  const { selector, targetRef, targetRefs } = isRecord(spec) ? spec : {}
  const labels = labelsIn(selector)
  const refs: readonly unknown[] = Array.isArray(targetRefs) ? targetRefs : targetRef === undefined ? [] : [targetRef]
  const targets = refs.map(plainTarget).filter((target) => target !== undefined)
  const isPlain = targets.length === refs.length && labels === undefined
  return scopeWith(object, labels ?? {}, isPlain ? targets : [])
}

function labelsIn(selector: unknown): Readonly<Record<string, string>> | undefined {
  const labels = isRecord(selector) ? selector['matchLabels'] : undefined
  if (!isRecord(labels)) return undefined
  const entries = Object.entries(labels)
  const isPlain =
    entries.length > 0 && entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')
  return isPlain ? Object.fromEntries(entries) : undefined
}

function plainTarget(ref: unknown): PolicyTarget | undefined {
  if (!isRecord(ref)) return undefined
  const { group = '', kind, name } = ref
  if (typeof group !== 'string' || typeof kind !== 'string' || typeof name !== 'string') return undefined
  return targetOf({ group, kind, name })
}
