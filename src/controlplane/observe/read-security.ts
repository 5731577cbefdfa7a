/** Istio's security and telemetry kinds to facts. What admission refuses does not come here. */
import type { AuthorizationPolicy, PeerAuthentication, RequestAuthentication, Telemetry } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import type {
  AuthorizationPolicyFacts,
  PeerAuthenticationFacts,
  PolicyScope,
  PolicyTarget,
  RequestAuthenticationFacts,
  TelemetryFacts,
} from './facts-security.ts'

/** Istio's: a policy that is judged and counted, and changes nothing. */
export const DRY_RUN_ANNOTATION = 'istio.io/dry-run'

interface ScopedSpec {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> }
  readonly targetRef?: TargetSpec
  readonly targetRefs?: readonly TargetSpec[]
}
interface TargetSpec {
  readonly group?: string
  readonly kind: string
  readonly name: string
}

export function scopeOf(object: KubeObject, { selector, targetRef, targetRefs = [] }: ScopedSpec): PolicyScope {
  const targets = [...(targetRef === undefined ? [] : [targetRef]), ...targetRefs].map(targetOf)
  return scopeWith(object, selector?.matchLabels ?? {}, targets)
}

/** The core group has two names. */
export const targetOf = ({ group = '', kind, name }: TargetSpec): PolicyTarget => ({
  group: group === 'core' ? '' : group,
  kind,
  name,
})

/** Labels and targets that are not there do not narrow. */
export function scopeWith(
  { metadata }: KubeObject,
  labels: Readonly<Record<string, string>>,
  targets: readonly PolicyTarget[],
): PolicyScope {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    createdAt: metadata.creationTimestamp ?? '',
    generation: metadata.generation,
    ...(Object.keys(labels).length > 0 && { selector: labels }),
    ...(targets.length > 0 && { targets }),
  }
}

export function readPeerAuthentication(object: PeerAuthentication): PeerAuthenticationFacts {
  const { mtls, portLevelMtls = {}, ...scope } = object.spec ?? {}
  const ports = Object.entries(portLevelMtls).map(([port, { mode = 'UNSET' }]) => [port, mode] as const)
  return { ...scopeOf(object, scope), mode: mtls?.mode ?? 'UNSET', ports: Object.fromEntries(ports) }
}

export function readRequestAuthentication(object: RequestAuthentication): RequestAuthenticationFacts {
  const { jwtRules = [], ...scope } = object.spec ?? {}
  return { ...scopeOf(object, scope), rules: jwtRules }
}

export function readAuthorizationPolicy(object: AuthorizationPolicy): AuthorizationPolicyFacts {
  const { action = 'ALLOW', provider, rules = [], ...scope } = object.spec ?? {}
  return {
    ...scopeOf(object, scope),
    action,
    provider: provider?.name ?? '',
    rules,
    dryRun: object.metadata.annotations?.[DRY_RUN_ANNOTATION] === 'true',
  }
}

export function readTelemetry(object: Telemetry): TelemetryFacts {
  const { selector, targetRef, targetRefs, ...rest } = object.spec ?? {}
  const scope = {
    ...(selector !== undefined && { selector }),
    ...(targetRef !== undefined && { targetRef }),
    ...(targetRefs !== undefined && { targetRefs }),
  }
  return { ...scopeOf(object, scope), ...rest }
}
