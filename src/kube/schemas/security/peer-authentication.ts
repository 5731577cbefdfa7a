/** PeerAuthentication (security.istio.io): whether callers of a workload may, must or must not come over mTLS. */
import { z } from 'zod'
import { PEER_AUTHENTICATIONS, type PeerAuthentication } from '../../kinds.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'
import { workloadSelector } from './common.ts'

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

export const PEER_AUTHENTICATION = istioKind<PeerAuthentication>({
  resource: PEER_AUTHENTICATIONS,
  description: 'Whether callers of the selected pods may, must or must not come over mutual TLS.',
  spec: peerAuthenticationSpec,
  versions: ['v1', 'v1beta1'],
  shortNames: ['pa'],
  columns: [{ name: 'Mode', type: 'string', jsonPath: '.spec.mtls.mode' }, AGE_COLUMN],
})
