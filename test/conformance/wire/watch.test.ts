import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { configMap, EMBEDDED, freshNamespace, startWorld, type Json, type World } from './world.ts'

let world: World
beforeAll(async () => void (world = await startWorld()), 90_000)
afterAll(() => world.close())

const MERGE = 'application/merge-patch+json'
const brief = (events: readonly Json[]) =>
  events.map(({ type, object }) => `${type} ${object.metadata?.name ?? object.reason}`)
const versionOf = async (path: string): Promise<string> => (await world.ask('GET', path)).json.metadata.resourceVersion

describe('watch', () => {
  it('starts with what is there, then follows create, change and delete', async () => {
    const ns = await freshNamespace(world, 'w1')
    await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name: 'old' } } })
    const events = await world.watch(
      `${ns}/secrets?watch=true`,
      (seen) => seen.some(({ type }) => type === 'DELETED'),
      async () => {
        await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name: 'new' } } })
        await world.ask('PATCH', `${ns}/secrets/new`, { type: MERGE, body: { metadata: { labels: { a: 'b' } } } })
        await world.ask('DELETE', `${ns}/secrets/new`)
      },
    )
    expect(brief(events)).toEqual(['ADDED old', 'ADDED new', 'MODIFIED new', 'DELETED new'])
    const versions = events.slice(1).map(({ object }) => Number(object.metadata.resourceVersion))
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
    expect(new Set(versions).size).toBe(3)
    expect(events[1]?.object).toMatchObject({ apiVersion: 'v1', kind: 'Secret' })
  })

  it('resumes from a resourceVersion without missing or repeating anything', async () => {
    const ns = await freshNamespace(world, 'w2')
    const start = await versionOf(`${ns}/secrets`)
    for (const name of ['a', 'b']) await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name } } })
    const middle = await versionOf(`${ns}/secrets/a`)
    const names = async (from: string) =>
      brief(
        await world.watch(`${ns}/secrets?watch=1&resourceVersion=${from}`, (seen) =>
          seen.some(({ object }) => object.metadata.name === 'b'),
        ),
      )
    expect(await names(start)).toEqual(['ADDED a', 'ADDED b'])
    expect(await names(middle)).toEqual(['ADDED b'])
  })

  it('shows entering and leaving a selection as ADDED and DELETED', async () => {
    const ns = await freshNamespace(world, 'w3')
    const start = await versionOf(`${ns}/secrets`)
    await world.ask('POST', `${ns}/secrets`, { body: { metadata: { name: 's' } } })
    const label = (value: string | null) =>
      world.ask('PATCH', `${ns}/secrets/s`, { type: MERGE, body: { metadata: { labels: { on: value } } } })
    await label('yes')
    await label('no')
    await label('yes')
    await world.ask('DELETE', `${ns}/secrets/s`)
    const events = await world.watch(
      `${ns}/secrets?watch=true&labelSelector=on%3Dyes&resourceVersion=${start}`,
      (seen) => seen.length === 4,
    )
    expect(brief(events)).toEqual(['ADDED s', 'DELETED s', 'ADDED s', 'DELETED s'])
    expect(events[1]?.object.metadata.labels, 'the last state that matched').toEqual({ on: 'yes' })
  })

  it('ends cleanly at timeoutSeconds, with a bookmark when asked', async () => {
    const ns = await freshNamespace(world, 'w4')
    const from = await versionOf(`${ns}/secrets`)
    const events = await world.watch(
      `${ns}/secrets?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion=${from}`,
      () => false,
    )
    const bookmark = events.find(({ type }) => type === 'BOOKMARK')
    if (EMBEDDED)
      expect(bookmark?.object).toMatchObject({
        kind: 'Secret',
        apiVersion: 'v1',
        metadata: { resourceVersion: expect.any(String) },
      })
    expect(events.every(({ type }) => type === 'BOOKMARK')).toBe(true)
  })

  it('sends Tables when asked, refuses what it does not do', async () => {
    const ns = await freshNamespace(world, 'w5')
    expect((await world.ask('GET', `${ns}/secrets?watch=true&resourceVersionMatch=Exact&resourceVersion=1`)).code).toBe(
      422,
    )
    expect((await world.ask('GET', `${ns}/secrets?watch=true&resourceVersion=x`)).code).toBe(422)
  })

  it.runIf(EMBEDDED)('tells a reader from before the ring to relist, with 410 inside a 200', async () => {
    const ns = await freshNamespace(world, 'w6')
    const start = await versionOf(`${ns}/configmaps`)
    await world.ask('POST', `${ns}/configmaps`, { body: configMap('busy') })
    for (let round = 0; round < 1_002; round += 1)
      await world.ask('PATCH', `${ns}/configmaps/busy`, { type: MERGE, body: { data: { round: String(round) } } })
    const events = await world.watch(`${ns}/configmaps?watch=true&resourceVersion=${start}`, () => false)
    expect(events).toEqual([
      { type: 'ERROR', object: expect.objectContaining({ kind: 'Status', code: 410, reason: 'Expired' }) },
    ])
    const recent = await world.watch(
      `${ns}/configmaps?watch=true&resourceVersion=${Number(await versionOf(`${ns}/configmaps`)) - 5}`,
      (seen) => seen.length === 5,
    )
    expect(recent).toHaveLength(5)
  })

  it.runIf(EMBEDDED)('refuses streaming lists in the words that make clients list and watch instead', async () => {
    const answer = await world.ask(
      'GET',
      '/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true',
    )
    expect(answer).toMatchObject({ code: 422, json: { reason: 'Invalid' } })
    expect(answer.json.message).toContain(
      'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    )
  })
})
