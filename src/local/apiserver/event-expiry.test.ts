import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ManualClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { expireEvents } from './event-expiry.ts'
import { timestamp } from './object.ts'
import { Store } from './store/store.ts'

it('expireEvents removes events an hour after they were last seen, and nothing else', () => {
  const directory = mkdtempSync(join(tmpdir(), 'events-'))
  const clock = new ManualClock(Date.parse('2026-01-01T00:00:00Z'))
  const log = createLog('events', 'silent')
  const store = Store.open({ directory, clock, log })
  const stop = expireEvents(store, clock, log)
  const put = (type: string, name: string, extra: object = {}): void => {
    const metadata = { name, namespace: 'a', creationTimestamp: timestamp(clock.now()) }
    store.put(type, `a/${name}`, { apiVersion: 'v1', kind: 'X', metadata, ...extra })
  }
  put('events', 'old')
  put('events', 'repeated', { lastTimestamp: timestamp(clock.now() + 1_800_000) })
  put('configmaps', 'c')
  clock.advance(3_660_000)
  expect(store.list('events').map((event) => event.metadata.name)).toEqual(['repeated'])
  clock.advance(1_800_000)
  expect(store.list('events')).toEqual([])
  expect(store.list('configmaps')).toHaveLength(1)
  stop()
  rmSync(directory, { recursive: true, force: true })
})
