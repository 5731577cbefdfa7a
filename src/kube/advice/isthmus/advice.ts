/** Advice on the product's own kinds (isthmus.dev). */
import { AUTHENTICATION_POLICIES, CIRCUIT_BREAKER_POLICIES, RATE_LIMIT_POLICIES } from '../../kinds.ts'
import { adviceOn, type Area } from '../area.ts'
import { authenticationFlaws } from './authentication.ts'
import { circuitBreakerFlaws } from './circuit-breaker.ts'
import { rateLimitAdvice, rateLimitFlaws } from './rate-limit.ts'
import { missingTargets } from './targets.ts'

export const ISTHMUS_ADVICE: Area = {
  kinds: [
    adviceOn(CIRCUIT_BREAKER_POLICIES, { rules: [circuitBreakerFlaws] }),
    adviceOn(AUTHENTICATION_POLICIES, { rules: [authenticationFlaws] }),
    adviceOn(RATE_LIMIT_POLICIES, { rules: [rateLimitFlaws, rateLimitAdvice] }),
  ],
  setRules: [missingTargets],
}
