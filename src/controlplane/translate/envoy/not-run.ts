/** What translate cannot put into Envoy's form, by name, for people (`proxy-status`). Pure. */
import type { ProxyConfig } from '../../../model/config.ts'

/** Whole names of what is there: one line for each cluster whose circuit breaker is our proxy's own. */
export function notRunByEnvoy({ clusters, secrets }: ProxyConfig): readonly string[] {
  const found: string[] = []
  for (const { name, breaker } of clusters.values()) {
    if (breaker !== undefined) found.push(`CircuitBreakerPolicy for ${name}`)
  }
  for (const secret of secrets.values()) {
    if (secret.kind === undefined && secret.revokedIssuers.length > 0) found.push('revocation by issuer key')
  }
  return found
}
