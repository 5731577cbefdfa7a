import { describe, expect, it } from 'vitest'
import { compileSelector, matchesAll, parseSelector } from './label-selector.ts'

const labels = { app: 'web', tier: 'front' }

describe('parseSelector', () => {
  it.each([
    ['app=web', true],
    ['app==web,tier!=back', true],
    ['app in (web, api),tier', true],
    ['app notin (web)', false],
    ['!app', false],
    ['!missing', true],
    ['missing!=x', true],
    ['', true],
  ])('%s', (text, matches) => {
    expect(parseSelector(text)(labels)).toBe(matches)
  })

  it('refuses what it cannot read', () => {
    expect(() => parseSelector('app=web,=x')).toThrow('cannot read "=x"')
  })
})

describe('compileSelector', () => {
  it('matches nothing when absent and everything when empty', () => {
    expect(compileSelector(undefined)(labels)).toBe(false)
    expect(compileSelector({})(labels)).toBe(true)
    expect(compileSelector({ matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] })(labels)).toBe(
      false,
    )
  })
})

describe('matchesAll', () => {
  it('matches nothing when a Service has no selector', () => {
    expect(matchesAll({})(labels)).toBe(false)
    expect(matchesAll({ app: 'web' })(labels)).toBe(true)
  })
})
