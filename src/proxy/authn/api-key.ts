/**
 * Clients by the keys they were given, as Envoy's api_key_auth has it. Keys are kept and looked up by their hash, so that
 * neither memory nor time tells anything about them.
 */
import { createHash } from 'node:crypto'
import type { ApiKey, ApiKeyPolicy, ApiKeyRouted, ApiKeySource } from '../../model/config.ts'
import { type FilterCounters, filterKind } from '../filters/kind.ts'
import type { Call, Step } from '../filters/step.ts'
import { configuredReply, type LocalAnswer } from '../local-reply.ts'
import { parameterOf } from '../match/query.ts'
import { headerOf, removeHeader, type RequestHead, setHeader } from '../message.ts'
import { cookieOf, decoded, removeCookie, removeParameter } from './jwt-places.ts'

const COUNTERS = ['allowed', 'unauthorized', 'forbidden'] as const
const BEARER = 'Bearer '
const UNKNOWN = 'Client authentication failed.'
const FORBIDDEN = 'Client is forbidden.'

type Counters = FilterCounters<(typeof COUNTERS)[number]>

/** By the hash of the key. */
type Clients = ReadonlyMap<string, string>

interface Level {
  readonly clients: Clients | undefined
  readonly sources: readonly ApiKeySource[] | undefined
  readonly forward: ApiKeyPolicy['forward']
  /** Undefined: all that are known. */
  readonly allowed: ReadonlySet<string> | undefined
}

class ApiKeyStep implements Step {
  readonly #level: Level
  readonly #counters: Counters

  constructor(level: Level, counters: Counters) {
    this.#level = level
    this.#counters = counters
  }

  request({ head }: Call): LocalAnswer | undefined {
    const { clients, sources = [], allowed } = this.#level
    const key = firstKey(head, sources)
    const client = key === undefined ? undefined : clients?.get(key)
    if (client === undefined) {
      this.#counters.unauthorized++
      return denied(401, UNKNOWN)
    }
    if (allowed?.has(client) === false) {
      this.#counters.forbidden++
      return denied(403, FORBIDDEN)
    }
    this.#forward(head, client)
    this.#counters.allowed++
    return undefined
  }

  #forward(head: RequestHead, client: string): void {
    const { forward, sources = [] } = this.#level
    if (forward?.clientHeader !== undefined) setHeader(head.headers, forward.clientHeader, client)
    if (forward?.hidesKey === true) for (const source of sources) hideKey(head, source)
  }
}

const denied = (status: number, text: string): LocalAnswer => ({
  ...configuredReply(status, ['content-type', 'text/plain'], Buffer.from(text)),
  detail: text,
})

/** Its hash; fields hold bytes, one per character, and parameters what their encoding says. */
function firstKey(head: RequestHead, sources: readonly ApiKeySource[]): string | undefined {
  for (const source of sources) {
    const key = readKey(head, source)
    if (key !== undefined && key !== '') return hashOf(Buffer.from(key, source.kind === 'query' ? 'utf8' : 'latin1'))
  }
  return undefined
}

function readKey(head: RequestHead, { kind, name }: ApiKeySource): string | undefined {
  if (kind === 'cookie') return cookieOf(head, name)
  if (kind === 'query') {
    const text = parameterOf(head.path, name)
    return text === undefined ? undefined : decoded(text)
  }
  const value = headerOf(head.headers, name)
  return value?.startsWith(BEARER) === true ? value.slice(BEARER.length) : value
}

function hideKey(head: RequestHead, { kind, name }: ApiKeySource): void {
  if (kind === 'header') removeHeader(head.headers, name)
  else if (kind === 'query') removeParameter(head, name)
  else removeCookie(head, name)
}

const hashOf = (key: string | Buffer): string => createHash('sha256').update(key).digest('base64')

const clientsOf = (keys: readonly ApiKey[] | undefined): Clients | undefined =>
  keys && new Map(keys.map(({ key, client }) => [hashOf(key.reveal()), client]))

const compileLevel = ({ keys, sources, forward, clients }: ApiKeyRouted): Level => ({
  clients: clientsOf(keys),
  sources,
  forward,
  allowed: clients && new Set(clients),
})

interface Own {
  readonly level: Level
  readonly counters: Counters
}

export const apiKeyKind = filterKind<ApiKeyPolicy, ApiKeyRouted, Own, Level>({
  listed: (policy, { counters, statPrefix }) => ({
    level: compileLevel(policy),
    counters: counters(`${statPrefix}api_key_auth.`, COUNTERS),
  }),
  routed: compileLevel,
  step: ({ level, counters }, [said]) => {
    if (said === undefined) return new ApiKeyStep(level, counters)
    const { clients = level.clients, sources = level.sources, forward = level.forward, allowed } = said
    return new ApiKeyStep({ clients, sources, forward, allowed }, counters)
  },
})
