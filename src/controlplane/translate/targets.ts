/** The cluster that a host and port are for one scope of callers, and how long a request in the mesh may take. Pure. */
import { clusterName } from '../../model/sni.ts'
import { policyFor } from './istio/destination-rules.ts'
import type { Target } from './istio/http-routes.ts'
import { hashOf } from './istio/policy-cluster.ts'
import type { Scope } from './istio/scope.ts'

/** Istio has none and Envoy 15 s; a request that hangs in one hop must not hold its caller for ever. */
export const OUTBOUND_TIMEOUT_MS = 15_000

export function targetOf(
  scope: Scope,
  { host, port, subset = '' }: { readonly host: string; readonly port: number; readonly subset?: string },
): Target {
  const found = scope.byName.get(host)
  const rule = found && scope.ruleFor(found)
  const hash = rule && hashOf(policyFor(rule, port, subset))
  return { cluster: clusterName('outbound', port, host, subset), ...(hash !== undefined && { hash }) }
}
