/**
 * HTTP filters <-> their extensions: a table with one file per extension in http-filters/. As in Envoy the message's type
 * says what a filter is, and its name only which one.
 */
import type { Any } from '@bufbuild/protobuf/wkt'
import type {
  FilterKindName,
  ListedFilter,
  ListedFilterOf,
  RoutedConfigs,
  RoutedFilter,
  RoutedFilterOf,
} from '../../model/config.ts'
import { apiKeyCodec } from './http-filters/api-key.ts'
import { basicAuthCodec } from './http-filters/basic-auth.ts'
import { bufferCodec } from './http-filters/buffer.ts'
import { corsCodec } from './http-filters/cors.ts'
import { extAuthzCodec } from './http-filters/ext-authz.ts'
import { faultCodec } from './http-filters/fault.ts'
import { grpcWebCodec } from './http-filters/grpc-web.ts'
import { globalRateLimitCodec } from './http-filters/global-rate-limit.ts'
import type { FilterCodec, MessageCodec } from './http-filters/message-codec.ts'
import { jwtCodec } from './http-filters/jwt.ts'
import { headerMutationCodec } from './http-filters/header-mutation.ts'
import { oauth2Codec } from './http-filters/oauth2.ts'
import { rateLimitCodec } from './http-filters/rate-limit.ts'
import { rbacCodec } from './http-filters/rbac.ts'
import { present, refuse } from './shape.ts'

type FilterCodecs = { readonly [Kind in FilterKindName]: FilterCodec<Kind> }

export const FILTER_CODECS: FilterCodecs = {
  cors: corsCodec,
  rbac: rbacCodec,
  rateLimit: rateLimitCodec,
  fault: faultCodec,
  jwt: jwtCodec,
  basicAuth: basicAuthCodec,
  apiKey: apiKeyCodec,
  oauth2: oauth2Codec,
  headerMutation: headerMutationCodec,
  buffer: bufferCodec,
  extAuthz: extAuthzCodec,
  globalRateLimit: globalRateLimitCodec,
  grpcWeb: grpcWebCodec,
}
const KINDS = Object.keys(FILTER_CODECS) as readonly FilterKindName[]

/** Undefined: this kind takes nothing from routes. */
function routedCodec<Kind extends keyof RoutedConfigs>(kind: Kind): MessageCodec<RoutedConfigs[Kind]> {
  const codecs: { readonly [One in keyof RoutedConfigs]: { readonly routed: MessageCodec<RoutedConfigs[One]> } } =
    FILTER_CODECS
  return codecs[kind].routed
}

const takesRoutes = (kind: FilterKindName): kind is keyof RoutedConfigs => FILTER_CODECS[kind].routed !== undefined

export function encodeListed<Kind extends FilterKindName>({ kind, config }: ListedFilterOf<Kind>): Any {
  const codecs: { readonly [One in FilterKindName]: { readonly listed: MessageCodec<ListedFilterOf<One>['config']> } } =
    FILTER_CODECS
  return codecs[kind].listed.encode(config)
}

export function decodeListed(path: string, name: string, config: Any | undefined): ListedFilter {
  const type = typeOf(path, config)
  const kind = KINDS.find((candidate) => FILTER_CODECS[candidate].listed.typeName === type)
  if (kind === undefined) return refuse(path, `extension ${type} is not supported here`)
  return { name, kind, config: FILTER_CODECS[kind].listed.decode(path, config) } as ListedFilter
}

export function encodeRouted<Kind extends keyof RoutedConfigs>({ kind, config }: RoutedFilterOf<Kind>): Any {
  return routedCodec(kind).encode(config)
}

/** Of a table, virtual host, route or weighted cluster. */
export function decodeRouted(path: string, config: Any | undefined): RoutedFilter {
  const type = typeOf(path, config)
  const kind = KINDS.filter(takesRoutes).find((candidate) => routedCodec(candidate).typeName === type)
  if (kind === undefined) return refuse(path, `extension ${type} is not supported here`)
  return { kind, config: routedCodec(kind).decode(path, config) } as RoutedFilter
}

export function typeOf(path: string, config: Any | undefined): string {
  const { typeUrl } = present(path, config)
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
}
