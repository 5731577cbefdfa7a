/** Advice on Istio's traffic rules (networking.istio.io), on single objects and on all of them together. */
import { DESTINATION_RULES, SERVICE_ENTRIES, VIRTUAL_SERVICES, WORKLOAD_ENTRIES } from '../../kinds/networking.ts'
import { adviceOn, type Area } from '../area.ts'
import { destinationRuleFlaws } from './destination-rule.ts'
import { emptySubsets, missingHosts, missingSubsets, sharedHosts } from './lint.ts'
import { serviceEntryFlaws, workloadEntryFlaws } from './service-entry.ts'
import { virtualServiceFlaws } from './virtual-service.ts'

export const TRAFFIC_ADVICE: Area = {
  kinds: [
    adviceOn(VIRTUAL_SERVICES, {
      rules: [virtualServiceFlaws],
      unsupported: [
        { path: 'spec.http[].fault.abort.http2Error', hint: 'Use httpStatus or grpcStatus.' },
        { path: 'spec.http[].fault.delay.exponentialDelay', hint: 'Use fixedDelay.' },
      ],
    }),
    adviceOn(DESTINATION_RULES, { rules: [destinationRuleFlaws] }),
    adviceOn(SERVICE_ENTRIES, { rules: [serviceEntryFlaws] }),
    adviceOn(WORKLOAD_ENTRIES, { rules: [workloadEntryFlaws] }),
  ],
  setRules: [missingHosts, missingSubsets, emptySubsets, sharedHosts],
}
