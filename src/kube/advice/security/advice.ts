/** Advice on Istio's security and telemetry kinds: what its webhook refuses, and what this mesh does not run. */
import { AUTHORIZATION_POLICIES, PEER_AUTHENTICATIONS, REQUEST_AUTHENTICATIONS, TELEMETRIES } from '../../kinds.ts'
import { adviceOn, type Area } from '../area.ts'
import { authorizationPolicyFlaws } from './authorization-policy.ts'
import { peerAuthenticationFlaws } from './peer-authentication.ts'
import { unknownProviders } from './providers.ts'
import { refusedPeers } from './refused-peers.ts'
import { requestAuthenticationFlaws } from './request-authentication.ts'
import { telemetryFlaws } from './telemetry.ts'

export const SECURITY_ADVICE: Area = {
  kinds: [
    adviceOn(PEER_AUTHENTICATIONS, { rules: [peerAuthenticationFlaws] }),
    adviceOn(REQUEST_AUTHENTICATIONS, { rules: [requestAuthenticationFlaws] }),
    adviceOn(AUTHORIZATION_POLICIES, { rules: [authorizationPolicyFlaws] }),
    adviceOn(TELEMETRIES, {
      rules: [telemetryFlaws],
      unsupported: [
        { path: 'spec.metrics[].overrides', hint: 'Metrics and their labels are always Istio’s standard ones.' },
        { path: 'spec.metrics[].reportingInterval', hint: 'Metrics are scraped: the interval is the scraper’s.' },
        { path: 'spec.tracing[].useRequestIdForTraceSampling', hint: 'The trace context decides.' },
        { path: 'spec.tracing[].enableIstioTags', hint: 'Spans carry the standard attributes.' },
        { path: 'spec.tracing[].customTags.*.formatter', hint: 'Use a header or a literal.' },
      ],
    }),
  ],
  setRules: [unknownProviders, refusedPeers],
}
