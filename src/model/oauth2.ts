/** OAuth 2.0's code flow at a gateway (RFC 6749 4.1 with RFC 7636), as plain data. Part of config.ts, which exports it. */
import type { HttpTarget } from './authn.ts'
import type { HeaderMatch, StringMatch } from './route.ts'

export interface OAuth2Policy {
  readonly tokenEndpoint: HttpTarget
  readonly authorizationEndpoint: string
  readonly clientId: string
  /** Names of secrets: what we prove ourselves with, and what cookies are signed and sealed with. */
  readonly clientSecret: string
  readonly cookieSecret: string
  /** The client proves itself in a header, not in the body. */
  readonly basicAuth?: true
  /** Text with `%REQ(name)%`. */
  readonly redirectUri: string
  /** Of paths without query. */
  readonly callbackPath: StringMatch
  readonly signOutPath: StringMatch
  readonly scopes: readonly string[]
  readonly resources?: readonly string[]
  readonly cookies: OAuth2Cookies
  /** The endpoint gets the tokens: the access token as a bearer, all of them as cookies. */
  readonly forwardBearer?: true
  readonly keepAuthorization?: true
  /** Requests that match one pass without a session. */
  readonly passThrough?: readonly HeaderMatch[]
  /** Requests that match one are refused where others would be sent to sign in. */
  readonly denyRedirect?: readonly HeaderMatch[]
  readonly refresh: boolean
  /** For answers that do not say. 0: such an answer is a failure. */
  readonly expiresInS: number
  readonly refreshExpiresInS: number
  readonly withoutIdToken?: true
}

export interface OAuth2Cookies {
  readonly bearer: string
  readonly hmac: string
  readonly expires: string
  readonly id: string
  readonly refresh: string
}
