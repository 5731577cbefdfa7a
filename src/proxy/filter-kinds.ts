/** Every kind of HTTP filter that this proxy runs, by its name in the model. Adding one is adding a row. */
import type { FilterKindName, ListedConfigs, PrincipalRule, RoutedConfigs } from '../model/config.ts'
import { apiKeyKind } from './authn/api-key.ts'
import { basicAuthKind } from './authn/basic-auth.ts'
import { jwtKind } from './authn/jwt.ts'
import { oauth2Kind } from './authn/oauth2.ts'
import { bufferKind } from './filters/buffer.ts'
import { corsKind } from './filters/cors.ts'
import { extAuthzKind } from './filters/ext-authz.ts'
import { faultKind } from './filters/fault.ts'
import type { FilterEnvironment, FilterKind } from './filters/kind.ts'
import { globalRateLimitKind } from './filters/global-rate-limit.ts'
import { grpcWebKind } from './filters/grpc-web.ts'
import { headerMutationKind } from './filters/header-mutation.ts'
import { rateLimitKind } from './filters/rate-limit.ts'
import { rbacKind } from './filters/rbac-step.ts'

/** A kind that routes cannot configure has no row in RoutedConfigs. */
type RoutedOf<Kind extends FilterKindName> = Kind extends keyof RoutedConfigs ? RoutedConfigs[Kind] : never

export type FilterKinds = {
  readonly [Kind in FilterKindName]: FilterKind<ListedConfigs[Kind], RoutedOf<Kind>>
}

export const FILTER_KINDS: FilterKinds = {
  cors: corsKind,
  rbac: rbacKind,
  rateLimit: rateLimitKind,
  fault: faultKind,
  jwt: jwtKind,
  basicAuth: basicAuthKind,
  apiKey: apiKeyKind,
  oauth2: oauth2Kind,
  headerMutation: headerMutationKind,
  buffer: bufferKind,
  extAuthz: extAuthzKind,
  globalRateLimit: globalRateLimitKind,
  grpcWeb: grpcWebKind,
}

/** What a route's `allow` says to the RBAC filter. */
export const allowed = (allow: PrincipalRule, environment: FilterEnvironment): object =>
  rbacKind.routed({ allow }, environment)
