/**
 * Who may read the pages of 15014 that name proxies and objects: a bearer token, reviewed by the cluster, whose user may
 * `get` the page's path below /isthmus, or else every object that the answer speaks of (TokenReview, SubjectAccessReview).
 * Answers are remembered for a moment, and each reading is logged with who it was. On a loopback address, where only this
 * machine reaches the port, nobody is asked.
 */
import { createHash } from 'node:crypto'
import type { KubeClient } from '../kube/client.ts'
import { reviewToken } from '../kube/kinds.ts'
import { READER_AUDIENCE, READER_TOKEN_HEADER } from '../model/names.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import { TEXT, type Page, type PageHandler, type PageRequest } from '../runtime/pages.ts'

export interface AccessOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Where the port listens. */
  readonly host: string
  readonly log: Pick<Log, 'info' | 'warn'>
}

/** A resource of group isthmus.dev that exists for such questions alone: no API server stores one. */
export interface Asked {
  readonly resource: string
  readonly namespace: string
  readonly name: string
}

const REMEMBERED_MS = 10_000
const REMEMBERED_MAX = 1_000
const TOKEN_CHARS_MAX = 16_384
const GROUP = 'isthmus.dev'
/** More in one question is nobody's. */
const ASKED_MAX = 4

interface Decision {
  readonly user: string
  readonly refused: Page | undefined
  readonly untilMs: number
}

interface User {
  readonly username?: string
  readonly uid?: string
  readonly groups?: readonly string[]
}

export class PageAccess {
  readonly #options: AccessOptions
  readonly #decisions = new Map<string, Decision>()

  constructor(options: AccessOptions) {
    this.#options = options
  }

  /** The page, for those who may see it. `asks`: what they need to be allowed where the whole page is not open to them. */
  guard(path: string, page: PageHandler, asks: (query: URLSearchParams) => readonly Asked[] = () => []): PageHandler {
    if (this.#options.host.startsWith('127.')) return page
    return async (request) => {
      const asked = asks(request.query).slice(0, ASKED_MAX)
      const { refused, user } = await this.#decide(path, request, asked)
      const { log } = this.#options
      const line = { user, path, ...(asked.length > 0 && { asked }) }
      if (refused === undefined) log.info(line, 'a status page was read')
      else log.warn({ ...line, status: refused.status }, 'a status page was refused')
      return refused ?? page(request)
    }
  }

  async #decide(
    path: string,
    { headers = {} }: PageRequest,
    asked: readonly Asked[],
  ): Promise<Pick<Decision, 'user' | 'refused'>> {
    const token = tokenOf(headers)
    if (token === undefined || token.length > TOKEN_CHARS_MAX)
      return { user: '', refused: refusal(401, 'a bearer token is needed') }
    const { clock } = this.#options
    // A hash, so that no token stays in memory longer than its request.
    const key = createHash('sha256')
      .update(JSON.stringify([path, token, asked]))
      .digest('hex')
    const known = this.#decisions.get(key)
    if (known !== undefined && known.untilMs > clock.monotonic()) return known
    const decided = await this.#review(path, token, asked)
    if (this.#decisions.size >= REMEMBERED_MAX) this.#decisions.clear()
    this.#decisions.set(key, { ...decided, untilMs: clock.monotonic() + REMEMBERED_MS })
    return decided
  }

  async #review(path: string, token: string, asked: readonly Asked[]): Promise<Pick<Decision, 'user' | 'refused'>> {
    const { user, authenticated, audiences } = await reviewToken(this.#options.client, token, [READER_AUDIENCE])
    if (authenticated !== true || user?.username === undefined)
      return { user: '', refused: refusal(401, 'the token is not accepted') }
    const { username } = user
    if (audiences?.includes(READER_AUDIENCE) !== true)
      return { user: username, refused: refusal(401, 'the token is for another audience') }
    const whole = { nonResourceAttributes: { path: `/isthmus${path}`, verb: 'get' } }
    if (await this.#mayRead(user, whole)) return { user: username, refused: undefined }
    const denied = await this.#deniedOf(user, asked)
    if (asked.length > 0 && denied === undefined) return { user: username, refused: undefined }
    const { resource = '', namespace = '', name = '' } = denied ?? {}
    const other = denied === undefined ? '' : `, nor ${resource}.${GROUP} "${name}" in namespace "${namespace}"`
    const way =
      denied === undefined ? 'a ClusterRole with nonResourceURLs' : 'a ClusterRole with nonResourceURLs, or a Role'
    return {
      user: username,
      refused: refusal(403, `${username} may not get /isthmus${path}${other} (${way} allows it)`),
    }
  }

  /** The first that the user may not read. */
  async #deniedOf(user: User, asked: readonly Asked[]): Promise<Asked | undefined> {
    for (const one of asked) {
      const { resource, namespace, name } = one
      // An empty namespace would ask about all of them, an empty name about every object.
      if (namespace === '' || name === '') return one
      const resourceAttributes = { group: GROUP, version: 'v1alpha1', resource, namespace, name, verb: 'get' }
      if (!(await this.#mayRead(user, { resourceAttributes }))) return one
    }
    return undefined
  }

  async #mayRead({ username, groups = [], uid }: User, attributes: object): Promise<boolean> {
    const answer = await this.#options.client.raw<{ readonly status?: { readonly allowed?: boolean } }>({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user: username, groups, ...(uid === undefined ? {} : { uid }), ...attributes },
      },
    })
    return answer.status?.allowed === true
  }
}

/** API servers that proxy a request keep its Authorization for themselves, so the token has a header of its own too. */
function tokenOf(headers: NonNullable<PageRequest['headers']>): string | undefined {
  const own = headers[READER_TOKEN_HEADER]
  if (typeof own === 'string') return own
  return /^Bearer ([^\s]+)$/i.exec(headers.authorization ?? '')?.[1]
}

const refusal = (status: number, why: string): Page => ({ type: TEXT, status, body: `${why}\n` })
