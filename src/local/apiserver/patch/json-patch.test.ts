import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyJsonPatch } from './json-patch.ts'
import { PatchError } from './patch-error.ts'

const failure = (run: () => unknown): PatchError => {
  try {
    run()
  } catch (error) {
    if (error instanceof PatchError) return error
    throw error
  }
  throw new Error('the patch applied')
}

describe('applyJsonPatch', () => {
  it('adds, replaces, removes, moves, copies and tests', () => {
    const doc = { a: { b: [1, 2] }, 'x/y': 1, 'm~n': 2 }
    const ops = [
      { op: 'test', path: '/a/b/0', value: 1 },
      { op: 'add', path: '/a/b/1', value: 9 },
      { op: 'add', path: '/a/b/-', value: { c: 1 } },
      { op: 'replace', path: '/x~1y', value: 'new' },
      { op: 'remove', path: '/m~0n' },
      { op: 'copy', from: '/a/b', path: '/copied' },
      { op: 'move', from: '/a/b/3', path: '/moved' },
    ]
    expect(applyJsonPatch(doc, ops)).toEqual({
      a: { b: [1, 9, 2] },
      'x/y': 'new',
      copied: [1, 9, 2, { c: 1 }],
      moved: { c: 1 },
    })
    expect(doc).toEqual({ a: { b: [1, 2] }, 'x/y': 1, 'm~n': 2 })
  })

  it('replaces the whole document by the empty pointer, by an object only', () => {
    expect(applyJsonPatch({ a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }])).toEqual({ b: 2 })
    expect(failure(() => applyJsonPatch({ a: 1 }, [{ op: 'remove', path: '' }])).status).toBe(422)
    expect(failure(() => applyJsonPatch({ a: 1 }, [{ op: 'replace', path: '', value: 3 }])).status).toBe(422)
  })

  it.each([
    ['test of another value', [{ op: 'test', path: '/a', value: 2 }]],
    ['remove of a missing member', [{ op: 'remove', path: '/b' }]],
    ['replace of a missing member', [{ op: 'replace', path: '/b', value: 1 }]],
    ['add below a missing parent', [{ op: 'add', path: '/b/c', value: 1 }]],
    ['add below a scalar', [{ op: 'add', path: '/a/c', value: 1 }]],
    ['an index beyond the end', [{ op: 'add', path: '/l/3', value: 1 }]],
    ['an index with a leading zero', [{ op: 'replace', path: '/l/00', value: 1 }]],
    ['"-" where an item must exist', [{ op: 'remove', path: '/l/-' }]],
    ['move into itself', [{ op: 'move', from: '/o', path: '/o/p/q' }]],
    ['an inherited member', [{ op: 'remove', path: '/constructor' }]],
    ['a path through a prototype', [{ op: 'add', path: '/__proto__/polluted', value: 1 }]],
  ])('refuses %s with 422', (_, ops) => {
    expect(failure(() => applyJsonPatch({ a: 1, l: [1, 2], o: { p: {} } }, ops)).status).toBe(422)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it.each([
    ['no array', { op: 'add' }],
    ['no object', [1]],
    ['no op', [{ path: '/a' }]],
    ['no path', [{ op: 'remove' }]],
    ['no value', [{ op: 'add', path: '/a' }]],
    ['no from', [{ op: 'copy', path: '/a' }]],
    ['unknown op', [{ op: 'increment', path: '/a' }]],
    ['a pointer without a slash', [{ op: 'remove', path: 'a' }]],
  ])('refuses %s with 400', (_, ops) => {
    expect(failure(() => applyJsonPatch({ a: 1 }, ops)).status).toBe(400)
  })

  it('takes test for null as absence', () => {
    expect(applyJsonPatch({ a: 1 }, [{ op: 'test', path: '/b', value: null }])).toEqual({ a: 1 })
    expect(failure(() => applyJsonPatch({ a: 1 }, [{ op: 'test', path: '/a', value: null }])).status).toBe(422)
  })

  it('keeps a key called __proto__ as data', () => {
    const result = applyJsonPatch({}, JSON.parse('[{"op":"add","path":"/__proto__","value":{"polluted":1}}]'))
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
    expect(JSON.stringify(result)).toBe('{"__proto__":{"polluted":1}}')
  })

  it('limits operations and copies', () => {
    const many = Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/a', value: 1 }))
    expect(failure(() => applyJsonPatch({ a: 1 }, many)).status).toBe(413)
    const doubling = Array.from({ length: 40 }, (_, at) => ({ op: 'copy', from: '/a', path: `/a/k${at}` }))
    expect(failure(() => applyJsonPatch({ a: { t: 'x'.repeat(100) } }, doubling)).status).toBe(413)
  })

  it('refuses a document nested beyond the limit', () => {
    let value: unknown = 1
    for (let at = 0; at < 5_000; at += 1) value = [value]
    expect(failure(() => applyJsonPatch({}, [{ op: 'add', path: '/a', value }])).status).toBe(400)
    expect(failure(() => applyJsonPatch({}, [value])).status).toBe(400)
    const deepen = Array.from({ length: 600 }, (_, at) => ({ op: 'add', path: '/a'.repeat(at + 1), value: {} }))
    expect(failure(() => applyJsonPatch({}, deepen)).status).toBe(400)
  })

  it('never changes its inputs and fails only with PatchError', () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', '0', '1', '-', '__proto__', 'constructor', '~0'))
      .map((parts) => parts.map((part) => `/${part}`).join(''))
    const op = fc.record({
      op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
      path,
      from: path,
      value: fc.jsonValue(),
    })
    const doc = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.jsonValue())
    fc.assert(
      fc.property(doc, fc.array(op, { maxLength: 6 }), (doc, ops) => {
        const before = JSON.stringify([doc, ops])
        try {
          applyJsonPatch(doc, ops)
        } catch (error) {
          expect(error).toBeInstanceOf(PatchError)
        }
        expect(JSON.stringify([doc, ops])).toBe(before)
      }),
    )
  })
})
