import { describe, expect, it } from 'vitest'
import type { RawRequest } from '../kube/client.ts'
import { MemoryClient } from '../kube/testing/memory-client.ts'
import { READER_AUDIENCE } from '../model/names.ts'
import { systemClock } from '../runtime/clock.ts'
import { TEXT, type Page } from '../runtime/pages.ts'
import { PageAccess } from './access.ts'

const SECRET: Page = { type: TEXT, body: 'names of proxies' }

function world(host = '10.0.0.1', allowed = true): { ask: (headers?: object) => Promise<Page>; asked: RawRequest[] } {
  const asked: RawRequest[] = []
  const raw = (request: RawRequest): unknown => {
    asked.push(request)
    const { spec } = request.body as { spec: { token?: string } }
    if (request.path.endsWith('subjectaccessreviews')) return { status: { allowed } }
    if (spec.token === 'other') return { status: { authenticated: true, audiences: ['else'], user: { username: 'u' } } }
    if (spec.token !== 'good') return { status: { authenticated: false } }
    return { status: { authenticated: true, audiences: [READER_AUDIENCE], user: { username: 'u', groups: ['g'] } } }
  }
  const access = new PageAccess({ client: new MemoryClient({ raw }), clock: systemClock, host })
  const page = access.guard('/debug/syncz', () => SECRET)
  return { asked, ask: async (headers = {}) => page({ query: new URLSearchParams(), headers: { ...headers } }) }
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

  it('asks nobody on a loopback address', async () => {
    const { ask, asked } = world('127.1.0.3')
    expect(await ask()).toBe(SECRET)
    expect(asked).toEqual([])
  })
})
