import { describe, expect, it } from 'vitest'
import type { JsonSchema } from '../kinds.ts'
import { loopMs } from '../testing/loop-time.ts'
import { celFlaws, ruleProblems } from './validations.ts'

const ruled = (rule: string, type: JsonSchema = { type: 'object' }): JsonSchema => ({
  type: 'object',
  properties: { spec: { ...type, 'x-kubernetes-validations': [{ rule, message: 'refused' }] } },
})

const STRINGS: JsonSchema = { type: 'array', items: { type: 'string' } }
const PORTS: JsonSchema = {
  type: 'array',
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['name'],
  items: { type: 'object', properties: { name: { type: 'string' }, number: { type: 'integer' } } },
}
const TEXT: JsonSchema = { type: 'string' }
const ANY: JsonSchema = {
  type: 'object',
  properties: {
    a: { type: 'integer' },
    b: { type: 'number' },
    namespace: TEXT,
    'x-y': TEXT,
    at: { ...TEXT, format: 'date-time' },
  },
}

describe('celFlaws', () => {
  it.each<[string, JsonSchema, unknown, boolean]>([
    ["self.all(x, x.startsWith('a'))", STRINGS, ['a', 'ab'], true],
    ["self.exists_one(x, x == 'a')", STRINGS, ['a', 'a'], false],
    [
      'self.all(p1, self.exists_one(p2, p1.name == p2.name && p1.number == p2.number))',
      PORTS,
      [{ name: 'a', number: 1 }],
      true,
    ],
    ['self.a > 0', ANY, { a: 1 }, true],
    ['self.a > 0.5 && self.b < 2', ANY, { a: 1, b: 1 }, true],
    ['!has(self.a) || self.a % 2 == 0', ANY, { a: 3 }, false],
    ["self.__namespace__ == 'shop' && self.x__dash__y == 'z'", ANY, { namespace: 'shop', 'x-y': 'z' }, true],
    ["self.at < timestamp('2030-01-01T00:00:00Z')", ANY, { at: '2026-01-01T00:00:00Z' }, true],
    ["self.matches('(?i)^ABC$')", TEXT, 'abc', true],
    ["self != '.matches(' && self.matches(r'^\\d+$')", TEXT, '12', true],
    ["isIP(self) || self.endsWith('.local')", TEXT, 'fd00::1', true],
    ['isCIDR(self)', TEXT, '10.0.0.0/33', false],
    [
      "isURL(self) && url(self).getScheme() in ['https'] && url(self).getPort() == '8443'",
      TEXT,
      'https://a:8443/x',
      true,
    ],
    ['!format.dns1123Label().validate(self).hasValue()', TEXT, 'a_b', false],
    ["duration(self) >= duration('1ms')", TEXT, '1.5s', true],
    ["self.split('/').size() == 2 && self.substring(0, 1) == 'a'", TEXT, 'a/b', true],
    [
      'self.map(p, p.number).sum() == 3 && self.map(p, p.number).max() == 2',
      PORTS,
      [{ number: 1 }, { number: 2 }],
      true,
    ],
    ["sets.contains(self, ['a']) && !sets.intersects(self, ['c'])", STRINGS, ['a', 'b'], true],
    ['isQuantity(self)', TEXT, '1.5Gi', true],
  ])('%s', (rule, type, spec, holds) => {
    const schema = ruled(rule, type)
    expect(ruleProblems(schema, '')).toEqual([])
    const expected = holds ? [] : [{ path: 'spec', message: 'refused', reason: 'FieldValueInvalid' }]
    expect(celFlaws(schema, { spec })).toEqual(expected)
  })

  it('names every place where a rule fails', () => {
    const item: JsonSchema = {
      ...TEXT,
      'x-kubernetes-validations': [{ rule: "self != ''", messageExpression: "'empty: ' + string(self.size())" }],
    }
    const schema: JsonSchema = {
      type: 'object',
      properties: {
        spec: {
          type: 'object',
          properties: { hosts: { type: 'array', items: item }, tags: { type: 'object', additionalProperties: item } },
        },
      },
    }
    expect(celFlaws(schema, { spec: { hosts: ['a', ''], tags: { x: '' } } })).toEqual([
      { path: 'spec.hosts[1]', message: 'empty: 0', reason: 'FieldValueInvalid' },
      { path: 'spec.tags[x]', message: 'empty: 0', reason: 'FieldValueInvalid' },
    ])
  })

  it('runs transition rules only where something was before, list elements by their keys', () => {
    const schema = ruled('self == oldSelf', TEXT)
    expect(celFlaws(schema, { spec: 'a' })).toEqual([])
    expect(celFlaws(schema, { spec: 'a' }, { spec: 'a' })).toEqual([])
    expect(celFlaws(schema, { spec: 'a' }, { spec: 'b' })).toHaveLength(1)
    const items = { ...PORTS.items, 'x-kubernetes-validations': [{ rule: 'self.number == oldSelf.number' }] }
    const ports: JsonSchema = { type: 'object', properties: { spec: { ...PORTS, items } } }
    const before = {
      spec: [
        { name: 'a', number: 1 },
        { name: 'b', number: 2 },
      ],
    }
    expect(
      celFlaws(
        ports,
        {
          spec: [
            { name: 'b', number: 2 },
            { name: 'a', number: 3 },
          ],
        },
        before,
      ).map(({ path }) => path),
    ).toEqual(['spec[1]'])
  })

  it('refuses what it cannot evaluate, in one line', () => {
    const [flaw] = celFlaws(ruled('self.a.b == 1', ANY), { spec: { a: 1 } })
    expect(flaw?.message).toMatch(/^rule evaluation error: [^\n]+$/)
  })

  it('cannot see prototypes', () => {
    expect(celFlaws(ruled('!has(self.constructor) && !has(self.__proto__)', ANY), { spec: {} })).toEqual([])
  })

  it('refuses rules whose cost could hold the event loop, before it runs them', () => {
    const schema = ruled('self.all(x, self.all(y, self.all(z, x != y || y != z || x == z)))', STRINGS)
    const object = { spec: Array.from({ length: 5_000 }, String) }
    expect(celFlaws(schema, object)[0]?.message).toMatch(/may take \d+ steps/)
    expect(loopMs(() => celFlaws(schema, object))).toBeLessThan(50)
  })

  it('runs hostile patterns in linear time', () => {
    const schema = ruled("self.matches('(a+)+$')", TEXT)
    const object = { spec: `${'a'.repeat(5_000)}!` }
    expect(celFlaws(schema, object)).toHaveLength(1)
    expect(loopMs(() => celFlaws(schema, object))).toBeLessThan(50)
  })
})

describe('ruleProblems', () => {
  it('names rules that are none', () => {
    expect(ruleProblems(ruled('self.all(x'), 'schema').map(({ path }) => path)).toEqual([
      'schema.properties[spec].x-kubernetes-validations[0].rule',
    ])
    expect(ruleProblems(ruled('nobody == 1'), 'schema')).toHaveLength(1)
  })
})
