/** RequestAuthentication (security.istio.io): whose tokens a workload believes. A request without one passes. */
import { z } from 'zod'
import { REQUEST_AUTHENTICATIONS, type RequestAuthentication } from '../../kinds.ts'
import { istioKind } from '../istio.ts'
import { seconds, targetRef, targetRefs, text, workloadSelector } from './common.ts'

const headerName = (): z.ZodString =>
  z
    .string()
    .max(128)
    .regex(/^[-_A-Za-z0-9]+$/)

const jwtRule = z.strictObject({
  issuer: text().describe('`iss` of the tokens. Without jwks and jwksUri its OpenID configuration names the keys.'),
  audiences: z.array(text()).max(64).exactOptional().describe('One of the token’s must be among them. Absent: any.'),
  jwksUri: z.string().max(2048).exactOptional(),
  jwks: z.string().max(65_536).exactOptional(),
  fromHeaders: z
    .array(z.strictObject({ name: headerName(), prefix: z.string().max(128).exactOptional() }))
    .max(16)
    .exactOptional(),
  fromParams: z.array(text(128)).max(16).exactOptional(),
  fromCookies: z.array(text(128)).max(16).exactOptional(),
  outputPayloadToHeader: z.string().max(128).exactOptional(),
  outputClaimToHeaders: z
    .array(z.strictObject({ header: headerName(), claim: text(128) }))
    .max(16)
    .exactOptional(),
  forwardOriginalToken: z.boolean().exactOptional(),
  timeout: seconds().exactOptional().describe('Of fetching the keys. Default 5s.'),
  spaceDelimitedClaims: z.array(text(128)).max(64).exactOptional(),
})

export const requestAuthenticationSpec = z.strictObject({
  selector: workloadSelector().exactOptional(),
  targetRef: targetRef().exactOptional(),
  targetRefs: targetRefs().exactOptional(),
  jwtRules: z.array(jwtRule).max(4096).exactOptional(),
})

export const REQUEST_AUTHENTICATION = istioKind<RequestAuthentication>({
  resource: REQUEST_AUTHENTICATIONS,
  description: 'Whose tokens the selected pods believe: a bad one is refused, a missing one is not.',
  spec: requestAuthenticationSpec,
  versions: ['v1', 'v1beta1'],
  shortNames: ['ra'],
})
