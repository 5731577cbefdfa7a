/** Advice on the product's own kinds (isthmus.dev). */
import { CIRCUIT_BREAKER_POLICIES } from '../../kinds.ts'
import { adviceOn, type Area } from '../area.ts'
import { circuitBreakerFlaws } from './circuit-breaker.ts'
import { missingTargets } from './targets.ts'

export const ISTHMUS_ADVICE: Area = {
  kinds: [adviceOn(CIRCUIT_BREAKER_POLICIES, { rules: [circuitBreakerFlaws] })],
  setRules: [missingTargets],
}
