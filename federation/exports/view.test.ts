import { describe, expect, it } from 'vitest'
import { exported } from '../testing/exports.ts'
import { acceptHeld, applyDelta, applySnapshot, EMPTY_VIEW, type PeerView } from './view.ts'

const named = (...names: readonly string[]): ReturnType<typeof exported>[] => names.map((name) => exported({ name }))
const view = (...names: readonly string[]): PeerView =>
  applySnapshot(EMPTY_VIEW, { version: 1, services: named(...names), withdrawals: [] })
const gone = (name: string, uid = 'uid-west'): { namespace: string; name: string; uid: string; version: number } => ({
  namespace: 'shop',
  name,
  uid,
  version: 2,
})
const names = ({ services }: PeerView): string[] => [...services.values()].map(({ name }) => name).sort()

describe('applySnapshot', () => {
  it('lets half of what was known go by omission', () => {
    const next = applySnapshot(view('a', 'b'), { version: 2, services: named('a'), withdrawals: [] })
    expect([names(next), next.held]).toEqual([['a'], undefined])
  })

  it('holds what it omits beyond half, and takes the rest of it', () => {
    const services = [exported({ name: 'a', zones: [] }), exported({ name: 'd' })]
    const next = applySnapshot(view('a', 'b', 'c'), { version: 2, services, withdrawals: [] })
    expect(names(next)).toEqual(['a', 'b', 'c', 'd'])
    expect(next.services.get('shop/a')?.zones).toEqual([])
    expect(next.held).toEqual({ version: 2, omitted: ['shop/b', 'shop/c'], known: 3 })
  })

  it('holds an empty one entirely, and lets all go that is withdrawn', () => {
    expect(names(applySnapshot(view('a'), { version: 2, services: [], withdrawals: [] }))).toEqual(['a'])
    const withdrawn = { version: 2, services: [], withdrawals: [gone('a'), gone('b')] }
    const next = applySnapshot(view('a', 'b'), withdrawn)
    expect([names(next), next.held]).toEqual([[], undefined])
  })

  it('takes a withdrawal of a later export of the name for one of the name: a snapshot names all there is', () => {
    const next = applySnapshot(view('a'), { version: 2, services: [], withdrawals: [gone('a', 'made anew since')] })
    expect([names(next), next.held]).toEqual([[], undefined])
  })

  it('ends a hold when the peer names everything again', () => {
    const held = applySnapshot(view('a', 'b'), { version: 2, services: [], withdrawals: [] })
    const next = applySnapshot(held, { version: 3, services: named('a', 'b'), withdrawals: [] })
    expect(next.held).toBeUndefined()
  })
})

describe('applyDelta', () => {
  it('acts on statements at once, down to nothing', () => {
    const next = applyDelta(view('a', 'b'), { version: 2, upserts: [], withdrawals: [gone('a'), gone('b')] })
    expect(names(next)).toEqual([])
  })

  it('ignores a withdrawal of an older export of the same name', () => {
    const next = applyDelta(view('a'), { version: 2, upserts: [], withdrawals: [gone('a', 'an older uid')] })
    expect(names(next)).toEqual(['a'])
  })

  it('shrinks a hold by what it withdraws or names', () => {
    const held = applySnapshot(view('a', 'b', 'c'), { version: 2, services: [], withdrawals: [] })
    const next = applyDelta(held, { version: 3, upserts: named('b'), withdrawals: [gone('a')] })
    expect(next.held?.omitted).toEqual(['shop/c'])
    expect(applyDelta(next, { version: 4, upserts: [], withdrawals: [gone('c')] }).held).toBeUndefined()
  })
})

describe('acceptHeld', () => {
  it('lets go of exactly what is held', () => {
    const held = applySnapshot(view('a', 'b', 'c'), { version: 2, services: named('c'), withdrawals: [] })
    expect(names(acceptHeld(held))).toEqual(['c'])
  })
})
