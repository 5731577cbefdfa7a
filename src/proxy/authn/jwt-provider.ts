/** One issuer of tokens: whether a token is its, good, and for us; and what a good one adds to the request. */
import type { JwtProvider as ProviderConfig } from '../../model/config.ts'
import { isMadeOf, VALUE } from '../h1/chars.ts'
import { compileString, type StringTest } from '../match/strings.ts'
import { addHeader, removeHeader, type RequestHead } from '../message.ts'
import type { KeySource } from './key-source.ts'
import { compilePlaces, type FoundToken } from './jwt-places.ts'
import { type Claims, type Jwt, JWT_FAILURES, type JwtFailure, parseJwt } from './jwt-token.ts'
import type { KeySet } from './keys.ts'

/** Tokens found good are remembered, as their signature will be good again; Envoy's number where it is asked to. */
const REMEMBERED_MAX = 100
const REMEMBERED_CHARS_MAX = 4 * 1024

export class Provider {
  readonly config: ProviderConfig
  readonly name: string
  readonly #places: ReturnType<typeof compilePlaces>
  readonly #subjects: StringTest | undefined
  readonly #keys: KeySource
  readonly #good = new Map<string, readonly [Jwt, KeySet]>()

  constructor(name: string, config: ProviderConfig, keys: KeySource) {
    this.name = name
    this.config = config
    this.#keys = keys
    this.#places = compilePlaces(config)
    this.#subjects = config.subjects === undefined ? undefined : compileString(config.subjects)
  }

  tokensOf(head: RequestHead): FoundToken[] {
    return this.#places.flatMap((place) => place(head) ?? [])
  }

  /** Names that only this proxy may write. */
  sanitize(head: RequestHead): void {
    const { payloadHeader, claimHeaders = [] } = this.config
    if (payloadHeader !== undefined) removeHeader(head.headers, payloadHeader)
    for (const { header } of claimHeaders) removeHeader(head.headers, header)
  }

  /** `audiences`: those of the requirement, in place of the provider's own. */
  async judge(text: string, audiences: readonly string[] | undefined, nowMs: number): Promise<Jwt | JwtFailure> {
    const known = this.#good.get(text)
    const jwt = known?.[0] ?? parseJwt(text)
    if (typeof jwt === 'string') return jwt
    const failure = this.#judgeClaims(jwt, audiences ?? this.config.audiences, Math.floor(nowMs / 1000))
    if (failure !== undefined) return failure
    const keys = await this.#keys.keys()
    if (typeof keys === 'string') return keys
    if (known?.[1] === keys) return jwt
    const signature = await keys.verify(jwt)
    if (signature !== undefined) return signature
    this.#remember(jwt, keys)
    return jwt
  }

  /** What Envoy has no word for is told as a failed verification. */
  #judgeClaims(jwt: Jwt, audiences: readonly string[], now: number): JwtFailure | undefined {
    const { issuer, clockSkewS, requireExpiration, lifetimeMaxS } = this.config
    if (issuer !== undefined && jwt.issuer !== issuer) return JWT_FAILURES.issuer
    if (now + clockSkewS < jwt.notBefore) return JWT_FAILURES.early
    if (jwt.expires !== 0 && now > jwt.expires + clockSkewS) return JWT_FAILURES.expired
    if (requireExpiration === true && jwt.expires === 0) return JWT_FAILURES.signature
    if (lifetimeMaxS !== undefined && livesS(jwt, now) > lifetimeMaxS) return JWT_FAILURES.signature
    if (this.#subjects !== undefined && !this.#subjects(jwt.subject)) return JWT_FAILURES.signature
    const meant = audiences.length === 0 || jwt.audiences.some((one) => audiences.includes(one))
    return meant ? undefined : JWT_FAILURES.audience
  }

  /** The oldest goes first. */
  #remember(jwt: Jwt, keys: KeySet): void {
    if (jwt.text.length > REMEMBERED_CHARS_MAX) return
    this.#good.delete(jwt.text)
    this.#good.set(jwt.text, [jwt, keys])
    const [oldest] = this.#good.keys()
    if (oldest !== undefined && this.#good.size > (this.config.cacheSize ?? REMEMBERED_MAX)) this.#good.delete(oldest)
  }

  /** What the request gains by a good token. */
  apply(head: RequestHead, jwt: Jwt, found: FoundToken): void {
    const { forward, payloadHeader, padPayload, claimHeaders = [] } = this.config
    if (payloadHeader !== undefined) {
      const padding = padPayload === true ? '='.repeat((4 - (jwt.payload.length % 4)) % 4) : ''
      addHeader(head.headers, payloadHeader, jwt.payload + padding)
    }
    for (const { header, claim } of claimHeaders) {
      const value = headerValue(claimOf(jwt.claims, claim))
      if (value !== undefined) addHeader(head.headers, header, value)
    }
    if (forward !== true) found.remove(head)
  }
}

/** Without an issue time the rest of its life counts. */
function livesS({ expires, issuedAt }: Jwt, now: number): number {
  return expires === 0 ? Number.POSITIVE_INFINITY : expires - (issuedAt === 0 ? now : issuedAt)
}

/** The path goes through objects; a claim whose own name has dots is found by none. */
function claimOf(claims: Claims, path: string): unknown {
  let value: unknown = claims
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Claims)[key]
  }
  return value
}

/** Undefined: it becomes no header. */
function headerValue(claim: unknown): string | undefined {
  switch (typeof claim) {
    case 'string': {
      const value = Buffer.from(claim, 'utf8').toString('latin1')
      // A control character would end the field, or the message.
      return value === '' || isMadeOf(value, VALUE) ? value : undefined
    }
    case 'boolean':
      return String(claim)
    case 'number':
      return Number.isInteger(claim) ? String(claim) : claim.toFixed(6)
    case 'object':
      return claim === null ? undefined : Buffer.from(JSON.stringify(claim)).toString('base64')
    default:
      return undefined
  }
}
