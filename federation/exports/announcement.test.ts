import { describe, expect, it } from 'vitest'
import type { PeerMessage } from '../peers/message.ts'
import { exported, type Given } from '../testing/exports.ts'
import { announce, forget, NOTHING_ANNOUNCED, Outbox, resume, type Announcement } from './announcement.ts'
import type { LocalExport } from './collect.ts'

type Local = readonly [given: Given, to?: 'all' | readonly string[]]

function exportsOf(...locals: readonly Local[]): ReadonlyMap<string, LocalExport> {
  return new Map(
    locals.map(([given, to = 'all']) => {
      const { cluster: _own, ...service } = exported(given)
      return [`shop/${service.name}`, { service, to }]
    }),
  )
}

const first = (...locals: readonly Local[]): Announcement => announce(NOTHING_ANNOUNCED, exportsOf(...locals))
const shape = (message: PeerMessage | undefined): unknown => {
  if (message?.kind === 'snapshot') {
    const { services, withdrawals, last } = message
    return { snapshot: services.map(({ name }) => name), gone: withdrawals.map(({ name }) => name), last }
  }
  if (message?.kind === 'delta') {
    return { upserts: message.upserts.map(({ name }) => name), gone: message.withdrawals.map(({ name }) => name) }
  }
  return undefined
}

describe('announce', () => {
  it('is silent about nothing new', () => {
    const announcement = first([{ name: 'a' }])
    expect(announce(announcement, exportsOf([{ name: 'a' }]))).toBe(announcement)
  })

  it('leaves a tombstone for what went, until every peer concerned has acknowledged it', () => {
    const after = announce(first([{ name: 'a' }], [{ name: 'b' }]), exportsOf([{ name: 'b' }]))
    expect(after.withdrawals).toEqual([{ namespace: 'shop', name: 'a', uid: 'uid-west', version: 2, to: 'all' }])
    const acked = (versions: Record<string, number>) => (peer: string) => versions[peer] ?? 0
    expect(forget(after, ['p', 'q'], acked({ p: 2, q: 1 })).withdrawals).toHaveLength(1)
    expect(forget(after, ['p', 'q'], acked({ p: 2, q: 3 })).withdrawals).toHaveLength(0)
  })

  it('tells of a re-created export that the former one is gone', () => {
    const after = announce(first([{ name: 'a', uid: 'one' }]), exportsOf([{ name: 'a', uid: 'two' }]))
    expect(after.withdrawals.map(({ uid }) => uid)).toEqual(['one'])
  })

  it('tells those of all that lost it when it is restricted to some', () => {
    const after = announce(first([{ name: 'a' }]), exportsOf([{ name: 'a' }, ['p']]))
    expect(new Outbox('p').next(after, 0).messages.map(shape)).toEqual([{ snapshot: ['a'], gone: [], last: true }])
    expect(new Outbox('q').next(after, 0).messages.map(shape)).toEqual([{ snapshot: [], gone: ['a'], last: true }])
    const wider = announce(after, exportsOf([{ name: 'a' }, ['p', 'q']]))
    expect(new Outbox('q').next(wider, 0).messages.map(shape)).toEqual([{ snapshot: ['a'], gone: [], last: true }])
    expect(new Outbox('r').next(wider, 0).messages.map(shape)).toEqual([{ snapshot: [], gone: ['a'], last: true }])
    expect(announce(wider, exportsOf([{ name: 'a' }])).withdrawals).toEqual([])
  })

  it('goes on telling one peer of the loss when another has it again', () => {
    const narrow = announce(first([{ name: 'a' }, ['p', 'q', 'r']]), exportsOf([{ name: 'a' }, ['p']]))
    const after = announce(narrow, exportsOf([{ name: 'a' }, ['p', 'q']]))
    expect(after.withdrawals.map(({ to }) => to)).toEqual([['r']])
  })

  it('never names an export to a peer that may not know it', () => {
    const after = announce(first([{ name: 'a' }, ['p']]), exportsOf())
    expect(new Outbox('q').next(after, 0).messages.map(shape)).toEqual([{ snapshot: [], gone: [], last: true }])
    expect(new Outbox('p').next(after, 0).messages.map(shape)).toEqual([{ snapshot: [], gone: ['a'], last: true }])
  })
})

describe('resume', () => {
  it('withdraws what was exported when a leader last wrote, and is no more', () => {
    const last = new Map([
      ['shop/a', { uid: 'uid-west', to: 'all' as const }],
      ['shop/b', { uid: 'uid-west', to: 'all' as const }],
    ])
    const { withdrawals, version } = resume(exportsOf([{ name: 'b' }]), last, [])
    expect(version).toBe(1)
    expect(withdrawals.map(({ name }) => name)).toEqual(['a'])
  })

  it('forgets a stored withdrawal of what is exported again', () => {
    const stored = [{ namespace: 'shop', name: 'a', uid: 'uid-west', version: 9, to: 'all' as const }]
    expect(resume(exportsOf([{ name: 'a' }]), new Map(), stored).withdrawals).toEqual([])
    expect(resume(exportsOf(), new Map(), stored).withdrawals).toHaveLength(1)
  })
})

describe('Outbox', () => {
  it('begins with a snapshot and goes on with what changed', () => {
    const outbox = new Outbox('p')
    const one = first([{ name: 'a' }], [{ name: 'b' }, ['q']])
    expect(outbox.next(one, 0).messages.map(shape)).toEqual([{ snapshot: ['a'], gone: [], last: true }])
    expect(outbox.next(one, 0).messages).toEqual([])
    const two = announce(one, exportsOf([{ name: 'b' }], [{ name: 'c' }]))
    const [delta] = outbox.next(two, 0).messages
    expect(shape(delta)).toEqual({ upserts: ['b', 'c'], gone: ['a'] })
    expect(delta).toMatchObject({ version: 2, baseVersion: 1 })
  })

  it('lets counts wait for their second, but not the step from or to zero', () => {
    const zones = (ready: number): Given => ({
      name: 'a',
      zones: [{ cloud: '', region: '', zone: '', ready, total: 9 }],
    })
    const outbox = new Outbox('p')
    let announcement = first([zones(3)])
    outbox.next(announcement, 1_000)
    announcement = announce(announcement, exportsOf([zones(4)]))
    expect(outbox.next(announcement, 1_100)).toEqual({ messages: [], againAt: 2_000 })
    announcement = announce(announcement, exportsOf([zones(0)]))
    expect(outbox.next(announcement, 1_200).messages).toHaveLength(1)
    announcement = announce(announcement, exportsOf([zones(1)]))
    expect(outbox.next(announcement, 1_300).messages).toHaveLength(1)
    announcement = announce(announcement, exportsOf([zones(2)]))
    expect(outbox.next(announcement, 2_300).messages).toHaveLength(1)
  })

  it('cuts what does not fit into one message into parts that follow each other', () => {
    const many = Array.from({ length: 1_100 }, (_, index): Local => [{ name: `s${index}` }])
    const outbox = new Outbox('p')
    const snapshots = outbox.next(first(...many), 0).messages
    expect(snapshots.map((each) => (each.kind === 'snapshot' ? [each.services.length, each.last] : []))).toEqual([
      [500, false],
      [500, false],
      [100, true],
    ])
    const changed = announce(
      first(...many),
      exportsOf(...many.map(([given]): Local => [{ ...given, ports: ['grpc/90/TCP'] }])),
    )
    const deltas = outbox.next(changed, 0).messages
    expect(deltas.map((each) => (each.kind === 'delta' ? [each.baseVersion, each.version] : []))).toEqual([
      [1, 2],
      [2, 2],
      [2, 2],
    ])
  })
})
