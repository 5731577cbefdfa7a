/** OAuth 2.0's code flow. */
import { create } from '@bufbuild/protobuf'
import {
  type OAuth2,
  OAuth2Config_AuthType as AuthType,
  type OAuth2Config,
  OAuth2Schema,
  type OAuth2Credentials,
} from '#gen/envoy/extensions/filters/http/oauth2/v3/oauth_pb.js'
import {
  type SdsSecretConfig,
  SdsSecretConfigSchema,
} from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import { type PathMatcher, PathMatcherSchema } from '#gen/envoy/type/matcher/v3/path_pb.js'
import type { HeaderMatch, OAuth2Cookies, OAuth2Policy, StringMatch } from '../../../model/config.ts'
import { ADS_SHAPE, decodeDuration, encodeDuration, requireAds } from '../common.ts'
import { decodeTarget, encodeTarget, TARGET_SHAPE } from '../http-target.ts'
import {
  decodeHeaderMatch,
  decodeString,
  encodeHeaderMatch,
  encodeString,
  HEADER_SHAPE,
  STRING_SHAPE,
} from '../matchers.ts'
import { present, refuse, require, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const REFRESH_EXPIRES_S = 604_800 // Envoy's: a week
const PATH_SHAPE: Shape = { path: STRING_SHAPE }
const SDS_SHAPE: Shape = { name: true, sds_config: ADS_SHAPE }
const SHAPE: Shape = {
  config: {
    token_endpoint: TARGET_SHAPE,
    authorization_endpoint: true,
    credentials: {
      client_id: true,
      token_secret: SDS_SHAPE,
      hmac_secret: SDS_SHAPE,
      cookie_names: { bearer_token: true, oauth_hmac: true, oauth_expires: true, id_token: true, refresh_token: true },
    },
    redirect_uri: true,
    redirect_path_matcher: PATH_SHAPE,
    signout_path: PATH_SHAPE,
    forward_bearer_token: true,
    preserve_authorization_header: true,
    pass_through_matcher: HEADER_SHAPE,
    auth_scopes: true,
    resources: true,
    auth_type: true,
    use_refresh_token: {},
    default_expires_in: true,
    deny_redirect_matcher: HEADER_SHAPE,
    default_refresh_token_expires_in: true,
    disable_id_token_set_cookie: true,
  },
}

export const oauth2Codec: FilterCodec<'oauth2'> = {
  listed: messageCodec(OAuth2Schema, { shape: SHAPE, decode, encode }),
  routed: undefined,
}

function encode(policy: OAuth2Policy): OAuth2 {
  const { cookies } = policy
  return create(OAuth2Schema, {
    config: {
      tokenEndpoint: encodeTarget(policy.tokenEndpoint),
      authorizationEndpoint: policy.authorizationEndpoint,
      credentials: {
        clientId: policy.clientId,
        tokenSecret: { name: policy.clientSecret },
        tokenFormation: { case: 'hmacSecret', value: create(SdsSecretConfigSchema, { name: policy.cookieSecret }) },
        cookieNames: {
          bearerToken: cookies.bearer,
          oauthHmac: cookies.hmac,
          oauthExpires: cookies.expires,
          idToken: cookies.id,
          refreshToken: cookies.refresh,
        },
      },
      redirectUri: policy.redirectUri,
      redirectPathMatcher: encodePath(policy.callbackPath),
      signoutPath: encodePath(policy.signOutPath),
      forwardBearerToken: policy.forwardBearer === true,
      preserveAuthorizationHeader: policy.keepAuthorization === true,
      passThroughMatcher: (policy.passThrough ?? []).map(encodeHeaderMatch),
      authScopes: [...policy.scopes],
      resources: [...(policy.resources ?? [])],
      authType: policy.basicAuth === true ? AuthType.BASIC_AUTH : AuthType.URL_ENCODED_BODY,
      useRefreshToken: policy.refresh,
      defaultExpiresIn: encodeDuration(policy.expiresInS * 1000),
      denyRedirectMatcher: (policy.denyRedirect ?? []).map(encodeHeaderMatch),
      defaultRefreshTokenExpiresIn: encodeDuration(policy.refreshExpiresInS * 1000),
      disableIdTokenSetCookie: policy.withoutIdToken === true,
    },
  })
}

function decode(path: string, message: OAuth2): OAuth2Policy {
  const at = within(path, 'config')
  const config = present(at, message.config)
  const { authorizationEndpoint, authType } = config
  require(within(at, 'authorization_endpoint'), URL.canParse(authorizationEndpoint), 'must be a URL')
  require(within(at, 'auth_type'), authType === AuthType.URL_ENCODED_BODY ||
    authType === AuthType.BASIC_AUTH, 'is unknown')
  requireFormat(within(at, 'redirect_uri'), config.redirectUri)
  return {
    tokenEndpoint: decodeTarget(within(at, 'token_endpoint'), config.tokenEndpoint),
    authorizationEndpoint,
    ...decodeCredentials(within(at, 'credentials'), config.credentials),
    ...(authType === AuthType.BASIC_AUTH && { basicAuth: true }),
    redirectUri: config.redirectUri,
    callbackPath: decodePath(within(at, 'redirect_path_matcher'), config.redirectPathMatcher),
    signOutPath: decodePath(within(at, 'signout_path'), config.signoutPath),
    scopes: config.authScopes.length === 0 ? ['user'] : [...config.authScopes],
    ...(config.resources.length > 0 && { resources: [...config.resources] }),
    ...decodeOptions(at, config),
  }
}

type Options =
  | 'forwardBearer'
  | 'keepAuthorization'
  | 'passThrough'
  | 'denyRedirect'
  | 'refresh'
  | 'expiresInS'
  | 'refreshExpiresInS'
  | 'withoutIdToken'

function decodeOptions(path: string, config: OAuth2Config): Pick<OAuth2Policy, Options> {
  const { defaultExpiresIn: expires, defaultRefreshTokenExpiresIn: refreshExpires } = config
  const passThrough = decodeMatches(within(path, 'pass_through_matcher'), config.passThroughMatcher)
  const denyRedirect = decodeMatches(within(path, 'deny_redirect_matcher'), config.denyRedirectMatcher)
  const seconds = (field: string, value: typeof expires): number =>
    Math.floor(decodeDuration(within(path, field), value) / 1000)
  return {
    ...(config.forwardBearerToken && { forwardBearer: true }),
    ...(config.preserveAuthorizationHeader && { keepAuthorization: true }),
    ...(passThrough.length > 0 && { passThrough }),
    ...(denyRedirect.length > 0 && { denyRedirect }),
    refresh: config.useRefreshToken ?? true,
    expiresInS: expires === undefined ? 0 : seconds('default_expires_in', expires),
    refreshExpiresInS:
      refreshExpires === undefined ? REFRESH_EXPIRES_S : seconds('default_refresh_token_expires_in', refreshExpires),
    ...(config.disableIdTokenSetCookie && { withoutIdToken: true }),
  }
}

function decodeMatches(path: string, messages: OAuth2Config['passThroughMatcher']): HeaderMatch[] {
  return messages.map((one, index) => decodeHeaderMatch(`${path}[${index}]`, one))
}

type Credentials = 'clientId' | 'clientSecret' | 'cookieSecret' | 'cookies'

function decodeCredentials(path: string, message: OAuth2Credentials | undefined): Pick<OAuth2Policy, Credentials> {
  const { clientId, tokenSecret, tokenFormation, cookieNames } = present(path, message)
  require(within(path, 'client_id'), clientId !== '', 'is required')
  const hmac = tokenFormation.case === 'hmacSecret' ? tokenFormation.value : undefined
  const cookies: OAuth2Cookies = {
    bearer: cookieNames?.bearerToken || 'BearerToken',
    hmac: cookieNames?.oauthHmac || 'OauthHMAC',
    expires: cookieNames?.oauthExpires || 'OauthExpires',
    id: cookieNames?.idToken || 'IdToken',
    refresh: cookieNames?.refreshToken || 'RefreshToken',
  }
  const names = Object.values(cookies) as string[]
  for (const name of names)
    require(within(path, 'cookie_names'), /^[\w.!#$%&'*+^`|~-]+$/.test(name), 'is no cookie name')
  require(within(path, 'cookie_names'), new Set(names).size === names.length, 'has a name twice')
  return {
    clientId,
    clientSecret: decodeSecretName(within(path, 'token_secret'), tokenSecret),
    cookieSecret: decodeSecretName(within(path, 'hmac_secret'), hmac),
    cookies,
  }
}

/** A static secret by its name, or one that comes over ADS. */
function decodeSecretName(path: string, message: SdsSecretConfig | undefined): string {
  const { name, sdsConfig } = present(path, message)
  require(within(path, 'name'), name !== '', 'is required')
  if (sdsConfig !== undefined) requireAds(within(path, 'sds_config'), sdsConfig)
  return name
}

function requireFormat(path: string, text: string): void {
  require(path, text !== '', 'is required')
  const rest = text.replaceAll(/%REQ\(:?[\w-]+\)%/g, '')
  require(path, !rest.includes('%'), 'only %REQ(name)% is supported')
}

const encodePath = (path: StringMatch): PathMatcher =>
  create(PathMatcherSchema, { rule: { case: 'path', value: encodeString(path) } })

function decodePath(path: string, message: PathMatcher | undefined): StringMatch {
  const { rule } = present(path, message)
  return rule.case === 'path'
    ? decodeString(within(path, 'path'), rule.value)
    : refuse(within(path, 'path'), 'is required')
}
