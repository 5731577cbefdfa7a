import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addHeader, headerListOf, headerOf, removeHeader, removeHeaders, setHeader } from './message.ts'

describe('header lists', () => {
  it('find first and all values', () => {
    const headers = ['a', '1', 'b', '2', 'a', '3']
    expect([headerOf(headers, 'a'), headerOf(headers, 'c')]).toEqual(['1', undefined])
    expect([headerListOf(headers, 'a'), headerListOf(headers, 'c')]).toEqual(['1, 3', undefined])
  })

  it('remove and set as a plain filter would', () => {
    const pairs = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2')))
    fc.assert(
      fc.property(pairs, fc.constantFrom('a', 'b', 'd'), (list, name) => {
        const others = list.filter(([candidate]) => candidate !== name)
        const removed = list.flat()
        removeHeader(removed, name)
        expect(removed).toEqual(others.flat())
        const set = list.flat()
        setHeader(set, name, 'new')
        expect(headerListOf(set, name)).toBe('new')
        removeHeaders(set, (candidate) => candidate === name)
        expect(set).toEqual(others.flat())
        addHeader(set, name, 'x')
        expect(set.slice(-2)).toEqual([name, 'x'])
      }),
    )
  })
})
