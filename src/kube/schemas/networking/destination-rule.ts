/** DestinationRule (networking.istio.io): the traffic policy of a host and of its subsets. */
import { z } from 'zod'
import { exportTo, matchLabels } from './common.ts'
import { subset, trafficPolicy } from './traffic-policy.ts'

export const destinationRuleSpec = z.strictObject({
  host: z.string().min(1).describe('A name as applications call it, or `*.suffix`; the most specific rule counts.'),
  trafficPolicy: trafficPolicy().exactOptional(),
  subsets: z.array(subset()).max(1_024).exactOptional(),
  exportTo: exportTo().exactOptional(),
  workloadSelector: matchLabels().exactOptional(),
})
