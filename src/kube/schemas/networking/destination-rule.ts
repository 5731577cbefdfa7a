/** DestinationRule (networking.istio.io): the traffic policy of a host and of its subsets. */
import { z } from 'zod'
import { DESTINATION_RULES } from '../../kinds/networking.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'
import { NETWORKING_VERSIONS, exportTo, matchLabels } from './common.ts'
import { subset, trafficPolicy } from './traffic-policy.ts'

export const destinationRuleSpec = z.strictObject({
  host: z.string().min(1).describe('A name as applications call it, or `*.suffix`; the most specific rule counts.'),
  trafficPolicy: trafficPolicy().exactOptional(),
  subsets: z.array(subset()).max(1_024).exactOptional(),
  exportTo: exportTo().exactOptional(),
  workloadSelector: matchLabels().exactOptional(),
})

export const DESTINATION_RULE = istioKind({
  resource: DESTINATION_RULES,
  description: 'How connections to a host are made, shared out, limited and given up.',
  spec: destinationRuleSpec,
  specOptional: false,
  versions: NETWORKING_VERSIONS,
  shortNames: ['dr'],
  columns: [{ name: 'Host', type: 'string', jsonPath: '.spec.host' }, AGE_COLUMN],
})
