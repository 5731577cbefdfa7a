import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../../../runtime/clock.ts'
import { createLog } from '../../../runtime/log.ts'
import type { ApiObject } from '../object.ts'
import { Store, StoreFullError } from './store.ts'

let directory: string
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'store-'))))
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const open = (write?: (fd: number, bytes: Buffer, offset: number) => number): Store =>
  Store.open({
    directory,
    clock: new ManualClock(),
    log: createLog('store', 'silent'),
    ...(write === undefined ? {} : { write }),
  })
const thing = (name: string, value = 0): ApiObject => ({ apiVersion: 'v1', kind: 'Thing', metadata: { name }, value })
const journal = (): string => join(directory, 'journal')

describe('Store', () => {
  it('finds everything again after a restart, with a resourceVersion that goes on', () => {
    const first = open()
    first.put('things', 'a', thing('a', 1))
    first.put('things', 'b', thing('b'))
    const stored = first.put('things', 'a', thing('a', 2))
    first.remove('things', 'b', thing('b'))
    const { resourceVersion } = first
    // Not closed: a killed process closes nothing.
    const second = open()
    expect(second.list('things')).toEqual([stored])
    expect(second.resourceVersion).toBe(resourceVersion)
    expect(Number(second.put('things', 'c', thing('c')).metadata.resourceVersion)).toBe(resourceVersion + 1)
  })

  it('lets watchers resume over a restart, deletions included', () => {
    const first = open()
    const from = Number(first.put('things', 'a', thing('a')).metadata.resourceVersion)
    first.put('things', 'b', thing('b'))
    first.remove('things', 'a', thing('a'))
    const subscription = open().subscribe('things', from, () => {})
    expect(
      subscription.kind === 'live' && subscription.missed.map((event) => `${event.type} ${event.object.metadata.name}`),
    ).toEqual(['ADDED b', 'DELETED a'])
  })

  it('cuts off a torn last record and goes on', () => {
    const first = open()
    first.put('things', 'a', thing('a'))
    const intact = statSync(journal()).size
    appendFileSync(journal(), '00000000 {"rv":9,"t":"things"')
    const second = open()
    expect(second.list('things')).toHaveLength(1)
    expect(statSync(journal()).size).toBe(intact)
    second.put('things', 'b', thing('b'))
    expect(open().list('things')).toHaveLength(2)
  })

  it('refuses to start over damage in the middle, naming the place', () => {
    const first = open()
    first.put('things', 'a', thing('a'))
    first.put('things', 'b', thing('b'))
    writeFileSync(journal(), readFileSync(journal(), 'utf8').replace('"name":"a"', '"name":"x"'))
    expect(() => open()).toThrow(/journal: the record at byte 0 is damaged/)
  })

  it('survives any cut of the journal with a prefix of its writes', () => {
    const first = open()
    for (let value = 0; value < 20; value += 1) first.put('things', `k${value % 5}`, thing(`k${value % 5}`, value))
    const whole = readFileSync(journal())
    fc.assert(
      fc.property(fc.nat(whole.length), (cut) => {
        writeFileSync(journal(), whole.subarray(0, cut))
        const values = open()
          .list('things')
          .map((object) => object['value'] as number)
        const last = Math.max(-1, ...values)
        const expected = Array.from({ length: Math.min(5, last + 1) }, (_, index) => last - index)
        expect([...values].sort((a, b) => b - a)).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })

  it('changes nothing when the disk is full, and works again when it is not', () => {
    let room = 1_000
    const store = open((fd, bytes, offset) => {
      const { writeSync } = process.getBuiltinModule('node:fs')
      const part = Math.min(room, bytes.length - offset)
      if (part <= 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
      room -= part
      return writeSync(fd, bytes, offset, part)
    })
    const events: string[] = []
    store.subscribe('things', store.resourceVersion, (event) => events.push(event.object.metadata.name ?? ''))
    store.put('things', 'a', thing('a'))
    const before = store.resourceVersion
    const large = { ...thing('b'), text: 'x'.repeat(2_000) }
    expect(() => store.put('things', 'b', large)).toThrow(StoreFullError)
    expect(() => store.remove('things', 'a', { ...thing('a'), text: 'x'.repeat(2_000) })).toThrow(/no space left/)
    expect(store.list('things').map((object) => object.metadata.name)).toEqual(['a'])
    expect(store.resourceVersion).toBe(before)
    expect(events).toEqual(['a'])
    room = 10_000
    store.put('things', 'b', large)
    expect(
      open()
        .list('things')
        .map((object) => object.metadata.name),
    ).toEqual(['a', 'b'])
  })

  it('compacts, keeping objects and resourceVersion and asking old watchers to relist', () => {
    const first = open()
    const from = Number(first.put('things', 'a', thing('a')).metadata.resourceVersion)
    const large = 'x'.repeat(100_000)
    for (let round = 0; round < 60; round += 1) first.put('things', 'b', { ...thing('b', round), large })
    expect(statSync(journal()).size).toBeLessThan(5_000_000)
    const second = open()
    expect(second.resourceVersion).toBe(first.resourceVersion)
    expect(second.list('things')).toEqual(first.list('things'))
    expect(second.subscribe('things', from, () => {}).kind).toBe('expired')
    expect(second.subscribe('things', second.resourceVersion, () => {}).kind).toBe('live')
  })

  it('bounds the history by bytes, for objects of any size', () => {
    const store = open()
    const from = Number(store.put('things', 'a', thing('a')).metadata.resourceVersion)
    const large = 'x'.repeat(1_000_000)
    for (let round = 0; round < 40; round += 1) store.put('things', 'b', { ...thing('b', round), large })
    expect(store.subscribe('things', from, () => {}).kind).toBe('expired')
    const recent = store.subscribe('things', store.resourceVersion - 20, () => {})
    expect(recent.kind === 'live' && recent.missed.length).toBe(20)
  })

  it('keeps the state private to its owner', () => {
    open()
    expect(statSync(journal()).mode & 0o077).toBe(0)
  })
})
