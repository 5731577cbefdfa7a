/** The token endpoint (RFC 6749 4.1.3, 5.1, 6): what we ask it, and what of its answer we believe. */
import type { OAuth2Policy } from '../../model/config.ts'
import type { SideOutcome, SideRequest } from '../side/call.ts'
import { parseStrictJson } from './strict-json.ts'
import type { Lifetimes, Tokens } from './oauth2-cookies.ts'

const ANSWER_BYTES_MAX = 64 * 1024
const TOKEN = /^[\x21-\x3a\x3c-\x7e]*$/

export interface Granted {
  readonly tokens: Tokens
  readonly lives: Lifetimes
}

type Fields = readonly (readonly [name: string, value: string])[]

export function codeRequest(
  policy: OAuth2Policy,
  secret: string,
  grant: { readonly code: string; readonly redirectUri: string; readonly verifier: string },
): SideRequest {
  const { code, redirectUri, verifier } = grant
  return tokenRequest(
    policy,
    secret,
    [
      ['grant_type', 'authorization_code'],
      ['code', code],
    ],
    [
      ['redirect_uri', redirectUri],
      ['code_verifier', verifier],
    ],
  )
}

export function refreshRequest(policy: OAuth2Policy, secret: string, refresh: string): SideRequest {
  return tokenRequest(
    policy,
    secret,
    [
      ['grant_type', 'refresh_token'],
      ['refresh_token', refresh],
    ],
    [],
  )
}

function tokenRequest(policy: OAuth2Policy, secret: string, first: Fields, last: Fields): SideRequest {
  const { clientId, tokenEndpoint, basicAuth } = policy
  const { protocol, host, pathname, search } = new URL(tokenEndpoint.uri)
  const headers = ['content-type', 'application/x-www-form-urlencoded', 'accept', 'application/json']
  const own: Fields = [
    ['client_id', clientId],
    ['client_secret', secret],
  ]
  if (basicAuth === true)
    headers.push('authorization', `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`)
  const fields = [...first, ...(basicAuth === true ? [] : own), ...last]
  return {
    head: {
      method: 'POST',
      scheme: protocol.slice(0, -1),
      authority: host,
      path: pathname + search,
      protocol: '',
      headers,
      bodyLength: 0,
    },
    body: Buffer.from(fields.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')),
    timeoutMs: tokenEndpoint.timeoutMs,
    answerBytesMax: ANSWER_BYTES_MAX,
  }
}

/** Undefined: nothing that can be believed. `before`: a refresh token that the answer may leave in force. */
export function readGrant(policy: OAuth2Policy, outcome: SideOutcome, nowS: number, before = ''): Granted | undefined {
  const fields = { expires_in: policy.expiresInS, id_token: '', refresh_token: before, ...fieldsOf(outcome) }
  const { access_token: access, id_token: id, refresh_token: refresh, expires_in: life } = fields
  if (!isLife(life) || !isToken(access) || access === '' || !isToken(id) || !isToken(refresh)) return undefined
  const kept = { id: policy.withoutIdToken === true ? '' : id, refresh: policy.refresh ? refresh : '' }
  return {
    tokens: { access, ...kept, expires: nowS + life },
    lives: {
      session: life,
      id: lifeOf(kept.id, nowS) ?? life,
      refresh: lifeOf(kept.refresh, nowS) ?? policy.refreshExpiresInS,
    },
  }
}

const isLife = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0

interface Answer {
  readonly access_token?: unknown
  readonly id_token?: unknown
  readonly refresh_token?: unknown
  readonly expires_in?: unknown
}

function fieldsOf(outcome: SideOutcome): Answer {
  if (outcome.kind !== 'answer' || outcome.status !== 200) return {}
  const answer = parseStrictJson(outcome.body.toString('utf8'))
  return typeof answer === 'object' && answer !== null ? answer : {}
}

/** It goes into a header and, in clear, into a cookie. */
const isToken = (value: unknown): value is string => typeof value === 'string' && TOKEN.test(value)

/** What a token that happens to be a JWT says itself; only a cookie's life hangs on it. */
function lifeOf(token: string, nowS: number): number | undefined {
  const payload = parseStrictJson(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
  if (typeof payload !== 'object' || payload === null) return undefined
  const { exp } = payload as { readonly exp?: unknown }
  return typeof exp === 'number' && Number.isSafeInteger(exp) ? Math.max(0, exp - nowS) : undefined
}
