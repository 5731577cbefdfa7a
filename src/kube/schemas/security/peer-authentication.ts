/** PeerAuthentication (security.istio.io): whether callers of a workload may, must or must not come over mTLS. */
import { z } from 'zod'
import { PEER_AUTHENTICATIONS, type PeerAuthentication } from '../../kinds.ts'
import type { KindDefinition } from '../definition.ts'
import { istioStatus, workloadSelector } from './common.ts'

const mode = () => z.enum(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'])
const mutualTls = () => z.strictObject({ mode: mode().exactOptional() })

export const peerAuthenticationSpec = z.strictObject({
  selector: workloadSelector().exactOptional(),
  mtls: mutualTls().exactOptional().describe('UNSET or absent: what the level above says; PERMISSIVE at the top.'),
  portLevelMtls: z
    .record(z.string(), mutualTls())
    .exactOptional()
    .describe('By port of the pod, not of a service; needs a selector.'),
})

export const PEER_AUTHENTICATION: KindDefinition<PeerAuthentication> = {
  resource: PEER_AUTHENTICATIONS,
  description: 'Whether callers of the selected pods may, must or must not come over mutual TLS.',
  spec: peerAuthenticationSpec,
  status: istioStatus,
  shortNames: ['pa'],
  columns: [
    { name: 'Mode', type: 'string', jsonPath: '.spec.mtls.mode' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
}
