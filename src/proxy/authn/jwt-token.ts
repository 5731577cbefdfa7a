/**
 * A JWT taken apart (RFC 7519, RFC 7515 compact form), before anyone believes it: what is wrong with its form, and what
 * it claims. Envoy's order of checks and its words, which are the bodies of its refusals.
 */
import { parseStrictJson } from './strict-json.ts'

/** Far beyond any honest token; signatures are only checked below it. */
const TOKEN_CHARS_MAX = 16 * 1024

/** Why a token was not believed. */
export type JwtFailure =
  | (typeof JWT_FAILURES)[keyof typeof JWT_FAILURES]
  | `Jwt payload [${string}] field is not ${string}`

export const JWT_FAILURES = {
  missing: 'Jwt is missing',
  form: 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
  headerBase64: 'Jwt header is an invalid Base64url encoded',
  headerJson: 'Jwt header is an invalid JSON',
  alg: 'Jwt header [alg] field is required and must be a string',
  algUnknown: 'Jwt header [alg] is not supported',
  kid: 'Jwt header [kid] field is not a string',
  payloadBase64: 'Jwt payload is an invalid Base64url encoded',
  payloadJson: 'Jwt payload is an invalid JSON',
  signatureBase64: 'Jwt signature is an invalid Base64url encoded',
  issuer: 'Jwt issuer is not configured',
  early: 'Jwt not yet valid',
  expired: 'Jwt is expired',
  audience: 'Audiences in Jwt are not allowed',
  fetch: 'Jwks remote fetch is failed',
  noKeys: "Jwks doesn't have any valid public key",
  noMatch: "Jwks doesn't have key to match kid or alg from Jwt",
  signature: 'Jwt verification fails',
} as const

/** Signatures only: `none` is not among them, and an HMAC is only ever checked with a key of its own type (keys.ts). */
const ALGORITHMS: ReadonlySet<string> = new Set(
  ['ES', 'HS', 'PS', 'RS'].flatMap((family) => ['256', '384', '512'].map((bits) => family + bits)).concat('EdDSA'),
)

export type Claims = Readonly<Record<string, unknown>>

export interface Jwt {
  readonly text: string
  readonly alg: string
  /** Empty: none. */
  readonly kid: string
  readonly header: Claims
  readonly claims: Claims
  /** Base64url, as it came. */
  readonly payload: string
  readonly issuer: string
  readonly subject: string
  readonly audiences: readonly string[]
  /** Seconds; 0: none. */
  readonly notBefore: number
  readonly expires: number
  readonly issuedAt: number
}

export function parseJwt(text: string): Jwt | JwtFailure {
  const parts = text.length > TOKEN_CHARS_MAX ? [] : text.split('.').filter((part) => part !== '')
  const [head = '', payload = '', signature = ''] = parts
  if (parts.length !== 3) return JWT_FAILURES.form
  const header = decodeObject(head, JWT_FAILURES.headerBase64, JWT_FAILURES.headerJson)
  if (typeof header === 'string') return header
  const { alg, kid = '' } = header
  if (typeof alg !== 'string') return JWT_FAILURES.alg
  if (!ALGORITHMS.has(alg)) return JWT_FAILURES.algUnknown
  if (typeof kid !== 'string') return JWT_FAILURES.kid
  const claims = decodeObject(payload, JWT_FAILURES.payloadBase64, JWT_FAILURES.payloadJson)
  if (typeof claims === 'string') return claims
  const known = readClaims(claims)
  if (typeof known === 'string') return known
  if (!isBase64Url(signature)) return JWT_FAILURES.signatureBase64
  return { text, alg, kid, header, claims, payload, ...known }
}

type Known = Pick<Jwt, 'issuer' | 'subject' | 'audiences' | 'notBefore' | 'expires' | 'issuedAt'>

function readClaims(claims: Claims): Known | JwtFailure {
  const { iss = '', sub = '', iat = 0, nbf = 0, exp = 0, jti = '', aud = [] } = claims
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud]
  const failure = wrongText({ iss, sub }) ?? wrongTime({ iat, nbf, exp }) ?? wrongText({ jti })
  if (failure !== undefined) return failure
  if (!audiences.every((one) => typeof one === 'string'))
    return 'Jwt payload [aud] field is not a string or string list'
  return {
    issuer: String(iss),
    subject: String(sub),
    audiences,
    notBefore: Math.trunc(Number(nbf)),
    expires: Math.trunc(Number(exp)),
    issuedAt: Math.trunc(Number(iat)),
  }
}

function wrongText(fields: Claims): JwtFailure | undefined {
  const wrong = Object.entries(fields).find(([, value]) => typeof value !== 'string')
  return wrong && `Jwt payload [${wrong[0]}] field is not a string`
}

function wrongTime(fields: Claims): JwtFailure | undefined {
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value !== 'number') return `Jwt payload [${name}] field is not an integer`
    if (value < 0 || value >= 2 ** 63) return `Jwt payload [${name}] field is not a positive 64 bit integer`
  }
  return undefined
}

const isBase64Url = (text: string): boolean => /^[\w-]+$/.test(text) && text.length % 4 !== 1

function decodeObject(text: string, notBase64: JwtFailure, notJson: JwtFailure): Claims | JwtFailure {
  if (!isBase64Url(text)) return notBase64
  try {
    const value = parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64url')))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Claims) : notJson
  } catch {
    return notJson
  }
}
