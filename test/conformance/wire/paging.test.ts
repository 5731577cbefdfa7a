/** Lists in pages: all of them show what was there when the first was made, whatever is written in between. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EMBEDDED, startWorld, type Answer, type World } from './world.ts'

let world: World
const AT = '/api/v1/namespaces/pages/configmaps'

const put = async (name: string, labels: object = {}): Promise<void> => {
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels } }
  expect((await world.ask('POST', AT, { body })).code).toBe(201)
}

beforeAll(async () => {
  world = await startWorld()
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'pages' } }
  await world.ask('POST', '/api/v1/namespaces', { body })
  for (const name of ['a', 'b', 'c', 'd', 'e']) await put(name, { odd: String('ace'.includes(name)) })
})
afterAll(() => world?.close())

const page = (query: string): Promise<Answer> => world.ask('GET', `${AT}?${query}`)
const names = ({ json }: Answer): string[] => json.items.map((item: Answer['json']) => item.metadata.name)

describe('limit and continue', () => {
  it('go through a list as it was at its first page', async () => {
    const first = await page('limit=2')
    expect(names(first)).toEqual(['a', 'b'])
    expect(first.json.metadata.remainingItemCount).toBe(3)
    // One before, one behind, one gone, one changed.
    await put('aa')
    await put('f')
    await world.ask('DELETE', `${AT}/d`)
    await world.ask('PATCH', `${AT}/c`, { body: { data: { x: 'y' } }, type: 'application/merge-patch+json' })
    const second = await page(`limit=2&continue=${first.json.metadata.continue}`)
    expect(names(second)).toEqual(['c', 'd'])
    expect(second.json.items[0].data).toBeUndefined()
    expect(second.json.metadata.resourceVersion).toBe(first.json.metadata.resourceVersion)
    const last = await page(`limit=2&continue=${second.json.metadata.continue}`)
    expect(names(last)).toEqual(['e'])
    expect(last.json.metadata.continue ?? '').toBe('')
    expect(names(await page('limit=500'))).toEqual(['a', 'aa', 'b', 'c', 'e', 'f'])
  })

  it('count what selectors choose, and do not say how much remains', async () => {
    const { json } = await page('limit=1&labelSelector=odd%3Dtrue')
    expect(json.items).toHaveLength(1)
    expect(json.metadata.remainingItemCount).toBeUndefined()
    const rest = await page(`limit=10&labelSelector=odd%3Dtrue&continue=${json.metadata.continue}`)
    expect(names(rest)).toEqual(['c', 'e'])
  })

  it('hold for Tables too', async () => {
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io'
    const { json } = await world.ask('GET', `${AT}?limit=1`, { accept })
    expect(json.rows).toHaveLength(1)
    expect(json.metadata.continue).toMatch(/^[\w-]+/)
  })

  it.each([
    'nonsense',
    Buffer.from('{}').toString('base64url'),
    Buffer.from('{"v":"meta.k8s.io/v1","rv":0,"start":"a"}').toString('base64url'),
  ])('refuse the token %s', async (token) => {
    expect((await page(`limit=1&continue=${token}`)).code).toBe(400)
  })

  it('refuse a version beside a token', async () => {
    const { json } = await page('limit=1')
    expect(
      (await page(`limit=1&continue=${json.metadata.continue}&resourceVersion=${json.metadata.resourceVersion}`)).code,
    ).toBe(400)
  })

  it.skipIf(!EMBEDDED)('say that a token is too old once the events since are gone', async () => {
    const { json } = await page('limit=1')
    for (let index = 0; index < 1_001; index += 1)
      await world.ask('PATCH', `${AT}/f`, {
        body: { data: { n: String(index) } },
        type: 'application/merge-patch+json',
      })
    const { code, json: said } = await page(`limit=1&continue=${json.metadata.continue}`)
    expect([code, said.reason]).toEqual([410, 'Expired'])
  })
})
