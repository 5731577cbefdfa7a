/**
 * Who is calling: TokenReview of the projected ServiceAccount token with our own audience, and the pod it is bound to,
 * which must exist with that very uid and ServiceAccount. Nothing else about a caller is believed.
 */
import { createHash } from 'node:crypto'
import type { KubeClient } from '../../kube/client.ts'
import { serviceAccountOf } from '../../kube/inject.ts'
import { POD_NAME_EXTRA, POD_UID_EXTRA, PODS, reviewToken, type TokenReviewStatus } from '../../kube/kinds.ts'
import { isLabel, isSubdomain } from '../../model/identity.ts'
import { CA_AUDIENCE } from '../../model/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { PodFacts } from '../observe/facts.ts'

export interface Caller {
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: string
  readonly podUid: string
}

export type CallerResult =
  | { readonly ok: true; readonly caller: Caller }
  | {
      readonly ok: false
      readonly code: 'unauthenticated' | 'permission-denied' | 'unavailable'
      readonly reason: string
    }

export interface AuthenticatorOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** The pod as watched; the API server is asked when the watch does not know it yet. */
  readonly findPod: (namespace: string, name: string) => PodFacts | undefined
}

/** A projected token has about 1 KiB; a header of more than this is not one. */
const TOKEN_CHARACTERS_MAX = 16_384
/** How long a proxy that was authenticated may come back while the API server cannot be asked (fail static). */
const REMEMBER_MS = 3_600_000
const REMEMBERED_MAX = 10_000

export class Authenticator {
  readonly #options: AuthenticatorOptions
  /** By hash of the token, oldest first; never the token itself. */
  readonly #remembered = new Map<string, { readonly caller: Caller; readonly until: number }>()

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /** For certificates: every question goes to the API server. */
  async authenticate(authorization: readonly unknown[]): Promise<CallerResult> {
    const token = bearerOf(authorization)
    if (token === undefined) return unauthenticated('send exactly one header `authorization: Bearer <token>`')
    try {
      const result = await this.#ask(token)
      if (result.ok) this.#remember(token, result.caller)
      return result
    } catch (error) {
      return { ok: false, code: 'unavailable', reason: `the API server cannot be asked: ${messageOf(error)}` }
    }
  }

  /** For configuration: while the API server is away, a caller seen within the hour is let in again. */
  async authenticateOrRecall(authorization: readonly unknown[]): Promise<CallerResult> {
    const result = await this.authenticate(authorization)
    const token = bearerOf(authorization)
    if (result.ok || result.code !== 'unavailable' || token === undefined) return result
    const known = this.#remembered.get(hashOf(token))
    const isFresh = known !== undefined && known.until > this.#options.clock.monotonic()
    return isFresh ? { ok: true, caller: known.caller } : result
  }

  async #ask(token: string): Promise<CallerResult> {
    const review = await reviewToken(this.#options.client, token, [CA_AUDIENCE])
    const read = readReview(review)
    if (!read.ok) return read
    const { caller } = read
    return (await this.#podExists(caller))
      ? read
      : denied(`pod ${caller.namespace}/${caller.pod} with this uid and ServiceAccount does not exist`)
  }

  async #podExists({ namespace, pod, podUid, serviceAccount }: Caller): Promise<boolean> {
    const watched = this.#options.findPod(namespace, pod)
    if (watched?.uid === podUid) return watched.serviceAccount === serviceAccount
    const found = await this.#options.client.get(PODS, pod, namespace)
    const isLive = found !== undefined && !['Succeeded', 'Failed'].includes(found.status?.phase ?? '')
    return isLive && found.metadata.uid === podUid && serviceAccountOf(found.spec) === serviceAccount
  }

  #remember(token: string, caller: Caller): void {
    const hash = hashOf(token)
    this.#remembered.delete(hash)
    this.#remembered.set(hash, { caller, until: this.#options.clock.monotonic() + REMEMBER_MS })
    const [oldest] = this.#remembered.keys()
    if (this.#remembered.size > REMEMBERED_MAX && oldest !== undefined) this.#remembered.delete(oldest)
  }
}

function bearerOf(authorization: readonly unknown[]): string | undefined {
  const [value, ...more] = authorization
  if (typeof value !== 'string' || more.length > 0 || value.length > TOKEN_CHARACTERS_MAX) return undefined
  return /^Bearer ([\w.~+/=-]+)$/.exec(value)?.[1]
}

function readReview(review: TokenReviewStatus): CallerResult {
  if (review.authenticated !== true) return unauthenticated(review.error ?? 'the API server does not know the token')
  // A server that ignores audiences answers without them: then the token may be meant for anyone.
  if (review.audiences?.includes(CA_AUDIENCE) !== true) {
    return unauthenticated(`the token is not for the audience ${CA_AUDIENCE}`)
  }
  const account = readAccount(review.user?.username ?? '')
  if (account === undefined) return denied('the token is not of a ServiceAccount')
  const extra = review.user?.extra ?? {}
  const [pod] = extra[POD_NAME_EXTRA] ?? []
  const [podUid] = extra[POD_UID_EXTRA] ?? []
  if (pod === undefined || podUid === undefined) return denied('the token is not bound to a pod')
  return { ok: true, caller: { ...account, pod, podUid } }
}

/** `system:serviceaccount:<namespace>:<name>` */
function readAccount(username: string): Pick<Caller, 'namespace' | 'serviceAccount'> | undefined {
  const [system, kind, namespace, serviceAccount, ...rest] = username.split(':')
  if (system !== 'system' || kind !== 'serviceaccount' || rest.length > 0) return undefined
  return isLabel(namespace) && isSubdomain(serviceAccount) ? { namespace, serviceAccount } : undefined
}

const unauthenticated = (reason: string): CallerResult => ({ ok: false, code: 'unauthenticated', reason })
const denied = (reason: string): CallerResult => ({ ok: false, code: 'permission-denied', reason })
const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64')
