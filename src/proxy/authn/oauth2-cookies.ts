/**
 * What a browser keeps for us: tokens, sealed, and a signature over all of them; and for the length of one sign-in a
 * nonce and the verifier of its code (RFC 7636). Keys are derived from one secret, one per purpose.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { OAuth2Cookies } from '../../model/config.ts'
import type { HeaderList, RequestHead } from '../message.ts'

const FLOW_S = 600 // Envoy's: a sign-in has ten minutes
const NONCE = 'OauthNonce'
const VERIFIER = 'CodeVerifier'
const FLOW_ID = /^[0-9a-f]{16}$/

export interface Tokens {
  readonly access: string
  readonly id: string
  readonly refresh: string
  /** Seconds since 1970. */
  readonly expires: number
}

export interface Lifetimes {
  readonly session: number
  readonly id: number
  readonly refresh: number
}

/** One sign-in under way. */
export interface Flow {
  readonly id: string
  readonly nonce: string
  readonly verifier: string
}

export class CookieJar {
  readonly #names: OAuth2Cookies
  readonly #signKey: Buffer
  readonly #sealKey: Buffer

  constructor(names: OAuth2Cookies, secret: string) {
    this.#names = names
    this.#signKey = Buffer.from(hkdfSync('sha256', secret, '', 'isthmus oauth2 signature', 32))
    this.#sealKey = Buffer.from(hkdfSync('sha256', secret, '', 'isthmus oauth2 seal', 32))
  }

  /** Tokens of a session that we began and that has not ended. */
  sessionOf({ authority }: RequestHead, cookies: ReadonlyMap<string, string>, nowS: number): Tokens | undefined {
    const { bearer, hmac, expires, id } = this.#names
    const end = Number(cookies.get(expires) ?? Number.NaN)
    if (!Number.isSafeInteger(end) || end <= nowS) return undefined
    const tokens: Tokens = {
      access: this.#open(bearer, cookies.get(bearer)) ?? '',
      id: this.#open(id, cookies.get(id)) ?? '',
      refresh: this.refreshTokenOf(cookies) ?? '',
      expires: end,
    }
    return isSame(cookies.get(hmac) ?? '', this.#sign(authority, tokens)) ? tokens : undefined
  }

  refreshTokenOf(cookies: ReadonlyMap<string, string>): string | undefined {
    const { refresh } = this.#names
    return this.#open(refresh, cookies.get(refresh))
  }

  /** `set-cookie` values of a session. */
  session(authority: string, tokens: Tokens, lives: Lifetimes): string[] {
    const { bearer, hmac, expires, id, refresh } = this.#names
    const set = [
      cookie(hmac, this.#sign(authority, tokens), lives.session),
      cookie(expires, String(tokens.expires), lives.session),
      cookie(bearer, this.#seal(bearer, tokens.access), lives.session),
    ]
    if (tokens.id !== '') set.push(cookie(id, this.#seal(id, tokens.id), lives.id))
    if (tokens.refresh !== '') set.push(cookie(refresh, this.#seal(refresh, tokens.refresh), lives.refresh))
    return set
  }

  signedOut(): string[] {
    const { bearer, hmac, expires, id, refresh } = this.#names
    return [hmac, bearer, id, refresh, expires].map(gone)
  }

  newFlow(): Flow {
    const id = randomBytes(8).toString('hex')
    return { id, nonce: this.#nonceOf(id), verifier: randomBytes(32).toString('base64url') }
  }

  /** The second of each is for a callback that comes back without the flow's name. */
  flow({ id, nonce, verifier }: Flow): string[] {
    const sealed = this.#seal(VERIFIER, verifier)
    return [
      cookie(`${NONCE}.${id}`, nonce, FLOW_S),
      cookie(NONCE, nonce, FLOW_S),
      cookie(`${VERIFIER}.${id}`, sealed, FLOW_S),
      cookie(VERIFIER, sealed, FLOW_S),
    ]
  }

  flowEnded(id: string): string[] {
    return [`${NONCE}.${id}`, NONCE, `${VERIFIER}.${id}`, VERIFIER].map(gone)
  }

  /** The browser that comes back is the one that was sent away; the nonce is one of ours. */
  owns(id: string, nonce: string, cookies: ReadonlyMap<string, string>): boolean {
    if (!FLOW_ID.test(id) || !isSame(nonce, this.#nonceOf(id))) return false
    return isSame(cookies.get(`${NONCE}.${id}`) ?? cookies.get(NONCE) ?? '', nonce)
  }

  verifierOf(id: string, cookies: ReadonlyMap<string, string>): string | undefined {
    return this.#open(VERIFIER, cookies.get(`${VERIFIER}.${id}`) ?? cookies.get(VERIFIER))
  }

  /** Takes out what is only ours; the tokens go on in clear, as Envoy has it. */
  forward(headers: HeaderList, tokens: Pick<Tokens, 'access' | 'id'>): void {
    const { bearer, id } = this.#names
    const ours = new Set<string>([...Object.values(this.#names), NONCE, VERIFIER])
    const isOurs = (name: string): boolean =>
      ours.has(name) || name.startsWith(`${NONCE}.`) || name.startsWith(`${VERIFIER}.`)
    const kept: string[] = []
    if (tokens.access !== '') kept.push(`${bearer}=${tokens.access}`)
    if (tokens.id !== '') kept.push(`${id}=${tokens.id}`)
    for (let index = headers.length - 2; index >= 0; index -= 2) {
      if (headers[index] !== 'cookie') continue
      const parts = (headers[index + 1] ?? '').split(';').map((part) => part.trim())
      kept.push(...parts.filter((part) => part !== '' && !isOurs(part.split('=')[0] ?? '')))
      headers.splice(index, 2)
    }
    if (kept.length > 0) headers.push('cookie', kept.join('; '))
  }

  #nonceOf(id: string): string {
    return `${id}.${createHmac('sha256', this.#signKey).update(`nonce ${id}`).digest('base64')}`
  }

  /** As a list in JSON, so that no two sessions have one text. */
  #sign(authority: string, { access, id, refresh, expires }: Tokens): string {
    const text = JSON.stringify([authority, expires, access, id, refresh])
    return createHmac('sha256', this.#signKey).update(`session ${text}`).digest('base64')
  }

  /** What is sealed for one cookie opens in no other. */
  #seal(name: string, text: string): string {
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#sealKey, iv)
    cipher.setAAD(Buffer.from(name))
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')
  }

  #open(name: string, text: string | undefined): string | undefined {
    const bytes = Buffer.from(text ?? '', 'base64url')
    if (bytes.length < 28) return undefined
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#sealKey, bytes.subarray(0, 12))
      decipher.setAAD(Buffer.from(name))
      decipher.setAuthTag(bytes.subarray(12, 28))
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
    } catch {
      // Changed, or sealed with another secret: as good as not there.
      return undefined
    }
  }
}

/** The first of each name counts. */
export function cookiesOf({ headers }: RequestHead): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>()
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index] !== 'cookie') continue
    for (const part of (headers[index + 1] ?? '').split(';')) {
      const at = part.indexOf('=')
      const name = part.slice(0, at).trim()
      if (at > 0 && !cookies.has(name)) cookies.set(name, part.slice(at + 1).trim())
    }
  }
  return cookies
}

const cookie = (name: string, value: string, lifeS: number): string =>
  `${name}=${value};path=/;Max-Age=${lifeS};secure;HttpOnly`

const gone = (name: string): string => `${name}=deleted; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT`

function isSame(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)]
  return left.length === right.length && timingSafeEqual(left, right)
}
