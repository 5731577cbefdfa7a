import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../object.ts'
import { breakerPolicy as policy } from './testing/objects.ts'
import { adviseObject, adviseSet } from './advise.ts'
import { fieldsAt } from './fields.ts'
import { lineOf, refuses } from './finding.ts'

const said = (object: KubeObject): string[] =>
  adviseObject(object).map(({ severity, code, field }) => `${severity} ${code} ${field}`)

describe('adviseObject', () => {
  it('has nothing to say of a sound object, nor of a kind that is none of ours', () => {
    expect(adviseObject(policy({}))).toEqual([])
    expect(adviseObject({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } })).toEqual([])
  })

  it.each([
    [{ targetRefs: undefined }, ['error FIELD_REQUIRED spec.targetRefs']],
    [{ targetRefs: [{ kind: 'Pod', name: 'a' }] }, ['error FIELD_INVALID spec.targetRefs[0].kind']],
    [{ wnidow: '1s' }, ['error FIELD_UNKNOWN spec.wnidow']],
    [{ targetRefs: [{ kind: 'Service', name: 'a', prot: 1 }] }, ['error FIELD_UNKNOWN spec.targetRefs[0].prot']],
  ])('names the field that the schema refuses: %j', (spec, expected) => {
    expect(said(policy(spec))).toEqual(expected)
  })

  it('refuses __proto__ as any other unknown field', () => {
    const object = JSON.parse(JSON.stringify(policy({})).replace('"spec":{', '"spec":{"__proto__":{},')) as KubeObject
    expect(said(object)).toEqual(['error FIELD_UNKNOWN spec.__proto__'])
  })

  it('runs the rules of the kind, beside unknown fields too', () => {
    expect(said(policy({ slowPercent: 10, openFor: '2h', x: 1 }))).toEqual([
      'error FIELD_UNKNOWN spec.x',
      'error FIELD_INVALID spec.slowPercent',
      'error FIELD_INVALID spec.openFor',
    ])
  })

  it('refuses unknown kinds and versions of the groups it judges', () => {
    expect(said({ ...policy({}), kind: 'CircuitPolicy' })).toEqual(['error KIND_UNKNOWN kind'])
    expect(said({ ...policy({}), apiVersion: 'isthmus.dev/v2' })).toEqual(['error KIND_UNKNOWN apiVersion'])
  })

  it.each(['v1', 'v1beta1', 'v1alpha3'])(
    'says of stored kinds, version %s, that they do nothing, and admits them',
    (version) => {
      const [finding, ...more] = adviseObject({
        apiVersion: `networking.istio.io/${version}`,
        kind: 'WorkloadGroup',
        metadata: { name: 'vms', namespace: 'shop' },
        spec: { template: { anything: [1] } },
      } as KubeObject)
      expect(more).toEqual([])
      expect(finding).toMatchObject({ severity: 'error', code: 'KIND_UNSUPPORTED', object: { name: 'vms' } })
      expect(finding === undefined ? undefined : refuses(finding)).toBe(false)
    },
  )
})

describe('adviseSet', () => {
  const service = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
  })

  it('looks at all objects together', () => {
    const [finding] = adviseSet([policy({}), service('other')], { isWhole: false })
    expect(finding).toMatchObject({ severity: 'warning', code: 'TARGET_UNKNOWN', field: 'spec.targetRefs[0].name' })
    expect(adviseSet([policy({}), service('checkout')], { isWhole: false })).toEqual([])
  })

  it('does not call a thing missing that files alone cannot show', () => {
    expect(adviseSet([policy({})], { isWhole: false })).toEqual([])
    expect(adviseSet([policy({})], { isWhole: true })).toHaveLength(1)
  })

  it('leaves objects of unknown versions out of it: nobody has looked at their fields', () => {
    const strange = { ...policy({}), apiVersion: 'isthmus.dev/v2', spec: 7 } as unknown as KubeObject
    expect(adviseSet([strange], { isWhole: true }).map(({ code }) => code)).toEqual(['KIND_UNKNOWN'])
  })

  it('leaves refused objects out of what it looks at together', () => {
    const findings = adviseSet([policy({ window: '1h' })], { isWhole: true })
    expect(findings.map(({ code }) => code)).toEqual(['FIELD_INVALID'])
  })
})

describe('fieldsAt', () => {
  it('finds every value with its path', () => {
    const object = { a: [{ b: { x: 1, y: 2 } }, { c: 0 }, { b: { z: null } }] }
    expect(fieldsAt(object, 'a[].b.*')).toEqual([
      { path: 'a[0].b.x', value: 1 },
      { path: 'a[0].b.y', value: 2 },
      { path: 'a[2].b.z', value: null },
    ])
    expect(fieldsAt(object, 'a.b')).toEqual([])
    expect(fieldsAt({}, 'constructor.name')).toEqual([])
  })
})

describe('lineOf', () => {
  it('is one line with code, field and way out', () => {
    const lines = adviseObject(policy({ slowPercent: 1 })).map(lineOf)
    expect(lines).toEqual([
      expect.stringMatching(/^\[FIELD_INVALID\] spec\.slowPercent: needs spec\.slowAfter \(.+\)$/),
    ])
  })
})
