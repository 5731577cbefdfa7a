/** What of Istio's networking kinds does nothing here, and rules on Sidecar and Gateway. Other rules: advice/traffic. */
import {
  DESTINATION_RULES,
  ISTIO_GATEWAYS,
  SERVICE_ENTRIES,
  SIDECARS,
  VIRTUAL_SERVICES,
  WORKLOAD_ENTRIES,
} from '../../kinds/networking.ts'
import { adviceOn, type Area } from '../area.ts'
import { istioGatewayFlaws } from './gateway.ts'
import { sidecarFlaws } from './sidecar.ts'
import {
  DESTINATION_RULE_UNSUPPORTED,
  GATEWAY_UNSUPPORTED,
  SERVICE_ENTRY_UNSUPPORTED,
  SIDECAR_UNSUPPORTED,
  VIRTUAL_SERVICE_UNSUPPORTED,
  WORKLOAD_ENTRY_UNSUPPORTED,
} from './unsupported.ts'
import { destinationRuleValues, serviceEntryValues, virtualServiceValues } from './values.ts'

export const NETWORKING_ADVICE: Area = {
  kinds: [
    adviceOn(VIRTUAL_SERVICES, { rules: [virtualServiceValues], unsupported: VIRTUAL_SERVICE_UNSUPPORTED }),
    adviceOn(DESTINATION_RULES, { rules: [destinationRuleValues], unsupported: DESTINATION_RULE_UNSUPPORTED }),
    adviceOn(SERVICE_ENTRIES, { rules: [serviceEntryValues], unsupported: SERVICE_ENTRY_UNSUPPORTED }),
    adviceOn(WORKLOAD_ENTRIES, { unsupported: WORKLOAD_ENTRY_UNSUPPORTED }),
    adviceOn(SIDECARS, { rules: [sidecarFlaws], unsupported: SIDECAR_UNSUPPORTED }),
    adviceOn(ISTIO_GATEWAYS, { rules: [istioGatewayFlaws], unsupported: GATEWAY_UNSUPPORTED }),
  ],
  setRules: [],
}
