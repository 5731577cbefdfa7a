import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ApiObject } from '../object.ts'
import { fieldPredicate, labelPredicate, pinnedName, selectorText } from './selectors.ts'

const object = (labels: Record<string, string>): ApiObject => ({
  apiVersion: 'v1',
  kind: 'X',
  metadata: { name: 'n', namespace: 's', labels },
})

describe('labelPredicate', () => {
  it.each([
    ['', true],
    ['app', true],
    ['!app', false],
    ['!none', true],
    ['app=web', true],
    ['app==web', true],
    ['app = web', true],
    ['app!=web', false],
    ['none!=web', true],
    ['app in (web, db)', true],
    ['app in (db)', false],
    ['app notin (db)', true],
    ['none notin (db)', true],
    ['app=web,tier in (a,b),!x', true],
    ['empty=', true],
    ['example.dev/name=x', true],
  ])('%s', (selector, expected) => {
    expect(labelPredicate(selector)(object({ app: 'web', tier: 'b', empty: '', 'example.dev/name': 'x' }))).toBe(
      expected,
    )
  })

  it('refuses what is no selector instead of matching everything or nothing', () => {
    for (const selector of ['a b', '=x', 'a in b', 'a in (b', '(a)', 'a,='])
      expect(() => labelPredicate(selector), selector).toThrow(/unable to parse/)
  })

  it('agrees with itself for any value', () => {
    const value = fc.stringMatching(/^[a-z]{1,5}$/)
    fc.assert(
      fc.property(value, fc.array(value, { minLength: 1, maxLength: 4 }), (own, values) => {
        const one = object({ k: own })
        expect(labelPredicate(`k in (${values.join(',')})`)(one)).toBe(values.includes(own))
        expect(labelPredicate(`k notin (${values.join(',')})`)(one)).toBe(!values.includes(own))
      }),
    )
  })
})

describe('fieldPredicate', () => {
  it('compares the fields of the kind and refuses others', () => {
    const fields = { 'spec.x': () => 'a,b' }
    expect(fieldPredicate('metadata.name=n,metadata.namespace!=t', fields)(object({}))).toBe(true)
    expect(fieldPredicate('spec.x==a\\,b', fields)(object({}))).toBe(true)
    expect(() => fieldPredicate('spec.y=1', fields)).toThrow('field label not supported: spec.y')
    expect(() => fieldPredicate('spec.x', fields)).toThrow(/invalid selector/)
  })
})

describe('pinnedName', () => {
  it('is the one name that a selector allows', () => {
    expect(pinnedName('metadata.name=a')).toBe('a')
    expect(pinnedName('metadata.name=a,status.phase=x')).toBe('')
    expect(pinnedName('metadata.name!=a')).toBe('')
    expect(pinnedName(null)).toBe('')
  })
})

describe('selectorText', () => {
  it('prints what the parser reads', () => {
    const selector = {
      matchLabels: { b: '2', a: '1' },
      matchExpressions: [
        { key: 'c', operator: 'In', values: ['y', 'x'] },
        { key: 'd', operator: 'DoesNotExist' },
      ],
    }
    expect(selectorText(selector)).toBe('a=1,b=2,c in (x,y),!d')
    expect(labelPredicate(selectorText(selector))(object({ a: '1', b: '2', c: 'x' }))).toBe(true)
  })
})
