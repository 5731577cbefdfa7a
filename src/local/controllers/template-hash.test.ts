import { describe, expect, it } from 'vitest'
import { templateHash } from './template-hash.ts'

describe('templateHash', () => {
  it('does not depend on the order of keys or on nulls, and does on everything else', () => {
    const hash = templateHash({ a: 1, b: { c: [1, 2], d: null } })
    expect(templateHash({ b: { c: [1, 2] }, a: 1 })).toBe(hash)
    expect(templateHash({ b: { c: [2, 1] }, a: 1 })).not.toBe(hash)
    expect(templateHash({ a: 1, b: { c: [1, 2] } }, 1)).not.toBe(hash)
    expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{10}$/)
  })
})
