import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { evaluate, isJsonPath } from './json-path.ts'

const object = {
  metadata: { labels: { 'a.b/c': 'dotted' }, name: 'x' },
  spec: { replicas: 3, list: [{ c: 1 }, { c: 2 }], nested: [['a'], ['b']] },
  status: {
    conditions: [
      { type: 'Synced', status: 'False', weight: 1 },
      { type: 'Ready', status: 'True', weight: 2 },
    ],
  },
}

describe('evaluate', () => {
  it.each<[string, unknown[]]>([
    ['.spec.replicas', [3]],
    ['{.spec.replicas}', [3]],
    ['$.spec.replicas', [3]],
    ['.spec.list[0].c', [1]],
    ['.spec.list[-1].c', [2]],
    ['.spec.list[*].c', [1, 2]],
    ['.spec.nested[1][0]', ['b']],
    ['.metadata.labels.a\\.b/c', ['dotted']],
    [".metadata.labels['a.b/c']", ['dotted']],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    [".status.conditions[?(@.type=='Ready')].status", ['True']],
    ['.status.conditions[?(@.type == "Ready")].status', ['True']],
    ['.status.conditions[?(@.weight>1)].type', ['Ready']],
    ['.status.conditions[?(@.type!="Ready")].type', ['Synced']],
    ['.status.conditions[?(@.missing)].type', []],
    ['.status.conditions[?(@.weight)].type', ['Synced', 'Ready']],
    ['.spec.missing.deeper', []],
    ['.spec.list[7]', []],
    ['.constructor.name', []],
    ['.spec.list.length', []],
  ])('%s', (path, expected) => {
    expect(evaluate(path, object)).toEqual(expected)
  })

  it.each(['spec', '.a[', '.a[x]', '.a..b', '.a[?(@.b==)]', '.a]', ' .a', '.'.padEnd(2_000, 'a')])(
    'finds nothing by the malformed %j',
    (path) => {
      expect(evaluate(path, object)).toEqual([])
      expect(isJsonPath(path)).toBe(false)
    },
  )

  it('does not backtrack', () => {
    expect(evaluate(`.a[?(@.${'\\\\'.repeat(400)}!x)]`, object)).toEqual([])
    expect(evaluate(`.a[?(@${' '.repeat(900)}!x)]`, object)).toEqual([])
  })

  it('never throws or hangs', () => {
    const noise = fc
      .array(fc.constantFrom('.', 'a', '[', ']', '?(@', '==', '"', '\\', '*', '0', ')', "'"))
      .map((parts) => parts.join(''))
    fc.assert(fc.property(noise, fc.object(), (path, value) => Array.isArray(evaluate(path, value))))
  })
})
