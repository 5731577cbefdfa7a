import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyMergePatch } from './merge-patch.ts'
import { PatchError } from './patch-error.ts'

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

describe('applyMergePatch', () => {
  it.each([
    // RFC 7386, appendix A (those rows whose document and patch are objects).
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('merges %s with %s to %s', (doc, patch, expected) => {
    expect(applyMergePatch(json(doc), json(patch))).toEqual(json(expected))
  })

  it.each([[1], ['x'], [null], [[{}]]])('refuses %j with 400', (patch) => {
    expect(() => applyMergePatch({ a: 1 }, patch)).toThrow(expect.objectContaining({ status: 400 }))
  })

  it('keeps a key called __proto__ as data', () => {
    const result = applyMergePatch(
      {},
      json('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
    )
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(Object.keys(result)).toEqual(['__proto__', 'constructor'])
  })

  it('refuses a patch nested beyond the limit', () => {
    let patch: Record<string, unknown> = {}
    for (let at = 0; at < 5_000; at += 1) patch = { a: patch }
    expect(() => applyMergePatch({}, patch)).toThrow(PatchError)
  })

  it('shares nothing with its inputs, changes none, and is idempotent', () => {
    const value = fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.jsonValue())
    fc.assert(
      fc.property(value, value, (doc, patch) => {
        const before = JSON.stringify([doc, patch])
        const once = applyMergePatch(doc, patch)
        expect(applyMergePatch(once, patch)).toEqual(once)
        for (const member of Object.values(once)) if (Array.isArray(member)) member.push('changed')
        expect(JSON.stringify([doc, patch])).toBe(before)
      }),
    )
  })
})
