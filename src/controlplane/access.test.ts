import { describe, expect, it } from 'vitest'
import type { RawRequest } from '../kube/client.ts'
import { MemoryClient } from '../kube/testing/memory-client.ts'
import { READER_AUDIENCE } from '../model/names.ts'
import { systemClock } from '../runtime/clock.ts'
import { TEXT, type Page } from '../runtime/pages.ts'
import { PageAccess } from './access.ts'

const SECRET: Page = { type: TEXT, body: 'names of proxies' }

interface World {
  readonly ask: (headers?: object, query?: string) => Promise<Page>
  readonly asked: RawRequest[]
  /** What was logged. */
  readonly read: object[]
}

/** `allowed`: everything, nothing, or objects of this namespace. */
function world(host = '10.0.0.1', allowed: boolean | string = true): World {
  const read: object[] = []
  const asked: RawRequest[] = []
  const raw = (request: RawRequest): unknown => {
    asked.push(request)
    const { spec } = request.body as { spec: { token?: string; resourceAttributes?: { namespace: string } } }
    if (request.path.endsWith('subjectaccessreviews'))
      return { status: { allowed: allowed === true || spec.resourceAttributes?.namespace === allowed } }
    if (spec.token === 'other') return { status: { authenticated: true, audiences: ['else'], user: { username: 'u' } } }
    if (spec.token !== 'good') return { status: { authenticated: false } }
    return { status: { authenticated: true, audiences: [READER_AUDIENCE], user: { username: 'u', groups: ['g'] } } }
  }
  const logged = (line: object): void => void read.push(line)
  const access = new PageAccess({
    client: new MemoryClient({ raw }),
    clock: systemClock,
    host,
    log: { info: logged, warn: logged },
  })
  const page = access.guard(
    '/debug/syncz',
    () => SECRET,
    (query) =>
      query.has('namespace')
        ? [{ resource: 'descriptions', namespace: query.get('namespace') ?? '', name: query.get('name') ?? '' }]
        : [],
  )
  return {
    asked,
    read,
    ask: async (headers = {}, query = '') => page({ query: new URLSearchParams(query), headers: { ...headers } }),
  }
}

describe('PageAccess', () => {
  it('shows the page to whom the cluster allows it, by either header', async () => {
    const { ask, asked } = world()
    expect(await ask({ authorization: 'Bearer good' })).toBe(SECRET)
    expect(await ask({ 'isthmus-token': 'good' })).toBe(SECRET)
    // Remembered: one review of each kind.
    expect(asked).toHaveLength(2)
    expect(asked[1]?.body).toMatchObject({
      spec: { user: 'u', groups: ['g'], nonResourceAttributes: { path: '/isthmus/debug/syncz', verb: 'get' } },
    })
  })

  it.each([
    [{}, 401],
    [{ authorization: 'Basic Zm9v' }, 401],
    [{ authorization: 'Bearer bad' }, 401],
    [{ authorization: 'Bearer other' }, 401],
    [{ authorization: `Bearer ${'x'.repeat(20_000)}` }, 401],
  ])('refuses %j', async (headers, status) => {
    expect((await world().ask(headers)).status).toBe(status)
  })

  it('refuses who may not', async () => {
    expect((await world('10.0.0.1', false).ask({ authorization: 'Bearer good' })).status).toBe(403)
  })

  it('shows what is about objects that the reader may get, and nothing about others', async () => {
    const { ask, asked, read } = world('10.0.0.1', 'shop')
    const good = { authorization: 'Bearer good' }
    expect(await ask(good, 'namespace=shop&name=a')).toBe(SECRET)
    expect(asked.at(-1)?.body).toMatchObject({
      spec: {
        resourceAttributes: {
          group: 'isthmus.dev',
          resource: 'descriptions',
          namespace: 'shop',
          name: 'a',
          verb: 'get',
        },
      },
    })
    expect((await ask(good, 'namespace=other&name=a')).status).toBe(403)
    // Without a name the review would be about all of them, and what was allowed for one is not remembered for another.
    expect((await ask(good, 'namespace=shop&name=')).status).toBe(403)
    expect((await ask(good)).status).toBe(403)
    expect(read).toMatchObject([{ user: 'u', path: '/debug/syncz' }, { status: 403 }, { status: 403 }, { status: 403 }])
    expect(JSON.stringify(read)).not.toContain('good')
  })

  it('asks nobody on a loopback address', async () => {
    const { ask, asked } = world('127.1.0.3')
    expect(await ask()).toBe(SECRET)
    expect(asked).toEqual([])
  })
})
