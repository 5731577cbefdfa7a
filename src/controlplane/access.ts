/**
 * Who may read the pages of 15014 that name proxies and objects: a bearer token, reviewed by the cluster, whose user may
 * `get` the page's path below /isthmus (TokenReview, SubjectAccessReview). Answers are remembered for a moment. On a
 * loopback address, where only this machine reaches the port, nobody is asked.
 */
import { createHash } from 'node:crypto'
import type { KubeClient } from '../kube/client.ts'
import { reviewToken } from '../kube/kinds.ts'
import { READER_AUDIENCE, READER_TOKEN_HEADER } from '../model/names.ts'
import type { Clock } from '../runtime/clock.ts'
import { TEXT, type Page, type PageHandler, type PageRequest } from '../runtime/pages.ts'

export interface AccessOptions {
  readonly client: KubeClient
  readonly clock: Clock
  /** Where the port listens. */
  readonly host: string
}

const REMEMBERED_MS = 10_000
const REMEMBERED_MAX = 1_000
const TOKEN_CHARS_MAX = 16_384

type Decision = { readonly page: Page | undefined; readonly untilMs: number }

export class PageAccess {
  readonly #options: AccessOptions
  readonly #decisions = new Map<string, Decision>()

  constructor(options: AccessOptions) {
    this.#options = options
  }

  /** The page, for those who may see it. */
  guard(path: string, page: PageHandler): PageHandler {
    if (this.#options.host.startsWith('127.')) return page
    return async (request) => (await this.#refusal(path, request)) ?? page(request)
  }

  async #refusal(path: string, { headers = {} }: PageRequest): Promise<Page | undefined> {
    const token = tokenOf(headers)
    if (token === undefined || token.length > TOKEN_CHARS_MAX) return refused(401, 'a bearer token is needed')
    const { clock } = this.#options
    // A hash, so that no token stays in memory longer than its request.
    const key = createHash('sha256').update(`${path} ${token}`).digest('hex')
    const known = this.#decisions.get(key)
    if (known !== undefined && known.untilMs > clock.monotonic()) return known.page
    const page = await this.#review(path, token)
    if (this.#decisions.size >= REMEMBERED_MAX) this.#decisions.clear()
    this.#decisions.set(key, { page, untilMs: clock.monotonic() + REMEMBERED_MS })
    return page
  }

  async #review(path: string, token: string): Promise<Page | undefined> {
    const { client } = this.#options
    const review = await reviewToken(client, token, [READER_AUDIENCE])
    const { user } = review
    if (review.authenticated !== true || user?.username === undefined) return refused(401, 'the token is not accepted')
    if (review.audiences?.includes(READER_AUDIENCE) !== true) return refused(401, 'the token is for another audience')
    const answer = await client.raw<{ readonly status?: { readonly allowed?: boolean } }>({
      method: 'POST',
      path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: {
          user: user.username,
          groups: user.groups ?? [],
          ...(user.uid === undefined ? {} : { uid: user.uid }),
          nonResourceAttributes: { path: `/isthmus${path}`, verb: 'get' },
        },
      },
    })
    if (answer.status?.allowed === true) return undefined
    return refused(403, `${user.username} may not get /isthmus${path} (a ClusterRole with nonResourceURLs allows it)`)
  }
}

/** API servers that proxy a request keep its Authorization for themselves, so the token has a header of its own too. */
function tokenOf(headers: NonNullable<PageRequest['headers']>): string | undefined {
  const own = headers[READER_TOKEN_HEADER]
  if (typeof own === 'string') return own
  return /^Bearer ([^\s]+)$/i.exec(headers.authorization ?? '')?.[1]
}

const refused = (status: number, why: string): Page => ({ type: TEXT, status, body: `${why}\n` })
