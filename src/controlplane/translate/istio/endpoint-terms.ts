/** What a rule says of a cluster's endpoints: which of them belong to a subset, how they are reached, and in what order. */
import type { LocalityPolicy } from '../../../model/weigh.ts'
import { type DialMode, dialModeOf } from './client-tls.ts'
import { type HostRule, policyFor } from './destination-rules.ts'
import { localityPolicyOf } from './locality.ts'

export interface EndpointTerms {
  /** What an endpoint of the subset has. */
  readonly labels: Readonly<Record<string, string>>
  /** How they are dialled, whatever they have. */
  readonly dial: DialMode
  readonly locality: LocalityPolicy | undefined
  /** Labels of endpoints that their order goes by. */
  readonly orderLabels: readonly string[]
  /** The order depends on labels of the caller. */
  readonly asksLabels: boolean
}

export function termsFor(rule: HostRule, port: number, subset: string): EndpointTerms {
  const policy = policyFor(rule, port, subset)
  const labels = subset === '' ? {} : (rule.subsets.find(({ name }) => name === subset)?.labels ?? {})
  const locality = localityPolicyOf(policy.loadBalancer?.localityLbSetting)
  const orderLabels = (locality?.priorities ?? []).map(({ label }) => label)
  return {
    labels,
    dial: dialModeOf(policy),
    locality,
    orderLabels,
    asksLabels: orderLabels.length > 0,
  }
}
