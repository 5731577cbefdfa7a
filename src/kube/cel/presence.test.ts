import { describe, expect, it } from 'vitest'
import { compileExpression } from './expression.ts'

const is = (rule: string, self: unknown): unknown => compileExpression(rule, ['self']).evaluate({ self })

describe('has', () => {
  it.each([
    ['has(self.a)', { a: null }, true],
    ['has(self.a)', {}, false],
    ['has(self.a.b) && has(self . a)', { a: { b: 1 } }, true],
    ['has(self[0].matches)', [{ matches: [] }], true],
    ['self.size() > 1 ? has(self[1].matches) : false', [{}, {}], false],
    ['has(self[0].path.type)', [{ path: { type: 'Exact' } }], true],
    ['self.all(one, has(one.name))', [{ name: 'a' }, {}], false],
    ["'has(self.a)' == self", 'has(self.a)', true],
  ])('%s of %j', (rule, self, expected) => {
    expect(is(rule, self)).toBe(expected)
  })

  it('asks for a field, and fails where what has it is not there', () => {
    expect(() => is('has(self)', {})).toThrow('has() invalid argument')
    expect(() => is("has(self['a'])", {})).toThrow('has() invalid argument')
    expect(() => is('has(self.a.b)', {})).toThrow('No such key')
  })
})
