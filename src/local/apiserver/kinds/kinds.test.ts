import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../runtime/random.ts'
import { COLUMNS } from '../table/columns.ts'
import { builtinSchema } from '../openapi/builtin.ts'
import { BUILTIN_KINDS } from './builtin.ts'
import { ClusterIpAllocator } from './cluster-ip.ts'
import { generateName, isDnsLabel, isSubdomain, nameProblems, validateMetadata } from './names.ts'
import { compareVersions } from './registry.ts'

describe('BUILTIN_KINDS', () => {
  it('all have types, and stored ones columns', () => {
    for (const kind of BUILTIN_KINDS) {
      expect(builtinSchema(kind.group, 'v1', kind.kind), `${kind.kind} of ${kind.group}`).toBeDefined()
      const isReview = kind.verbs.length === 1
      if (!isReview && kind.group !== 'admissionregistration.k8s.io')
        expect(COLUMNS[kind.storageKey], kind.plural).toBeDefined()
    }
  })
})

describe('compareVersions', () => {
  it('puts stable before beta before alpha before anything else', () => {
    const sorted = ['v1', 'v10', 'v2', 'v2beta1', 'v2beta10', 'v1alpha1', 'foo', 'v1beta2'].sort(compareVersions)
    expect(sorted).toEqual(['v10', 'v2', 'v1', 'v2beta10', 'v2beta1', 'v1beta2', 'v1alpha1', 'foo'])
  })
})

describe('ClusterIpAllocator', () => {
  it('hands out every usable address once, then none', () => {
    const allocator = new ClusterIpAllocator('10.9.8.0/28', seededRandom(1))
    const taken = new Set<string>()
    for (let address = allocator.next(); address !== undefined; address = allocator.next()) {
      expect(allocator.contains(address)).toBe(true)
      taken.add(address)
      allocator.take(address)
    }
    expect(taken.size).toBe(13)
    expect(
      [...taken].filter((address) => /\.(0|1|15)$/.test(address)),
      'network, API server, broadcast',
    ).toEqual([])
    allocator.release('10.9.8.7')
    expect(allocator.next()).toBe('10.9.8.7')
  })

  it('knows its bounds', () => {
    const allocator = new ClusterIpAllocator('127.17.128.0/17', seededRandom(1))
    expect(allocator.apiServerIp).toBe('127.17.128.1')
    expect(['127.17.128.9', '127.17.255.254'].every((address) => allocator.contains(address))).toBe(true)
    expect(['127.17.127.9', '127.17.255.255', '127.18.0.1', 'x'].some((address) => allocator.contains(address))).toBe(
      false,
    )
    const range = (cidr: string) => new ClusterIpAllocator(cidr, seededRandom(1))
    expect(allocator.overlaps(range('127.17.0.0/16'))).toBe(true)
    expect(allocator.overlaps(range('127.17.0.0/17'))).toBe(false)
    expect(() => new ClusterIpAllocator('nonsense', seededRandom(1))).toThrow(RangeError)
  })
})

describe('names', () => {
  it('follow RFC 1123 and 1035', () => {
    expect(['a', 'a-b', '0a', 'a.b'].map(isSubdomain)).toEqual([true, true, true, true])
    expect(['a', 'a-b', '0a', 'a.b', 'A', '-a', 'a-', '', 'a'.repeat(64)].map(isDnsLabel)).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
      false,
      false,
      false,
    ])
    expect(nameProblems('0a', 'label1035')).toHaveLength(1)
    expect(nameProblems('a/b', 'path-segment')).toEqual(["may not contain '/'"])
    expect(nameProblems('system:node', 'path-segment')).toEqual([])
  })

  it('generated ones are valid for any prefix that is', () => {
    const random = seededRandom(7)
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z][-a-z0-9]{0,80}$/), (prefix) => {
        expect(isDnsLabel(generateName(prefix, () => random.next()))).toBe(true)
      }),
    )
  })
})

describe('validateMetadata', () => {
  const errors = (metadata: object): string[] =>
    validateMetadata({ apiVersion: 'v1', kind: 'X', metadata: { name: 'a', ...metadata } }, 'subdomain', true).map(
      (error) => `${error.reason} ${error.path}`,
    )

  it('looks at labels, annotations, finalizers and owners', () => {
    expect(
      errors({
        labels: { 'example.dev/a': 'b' },
        annotations: { A: 'any text' },
        finalizers: ['example.dev/f', 'orphan'],
      }),
    ).toEqual([])
    expect(errors({ labels: { 'a b': 'c' } })).toEqual(['FieldValueInvalid metadata.labels'])
    expect(errors({ labels: { a: 'b c' } })).toEqual(['FieldValueInvalid metadata.labels'])
    expect(errors({ labels: { a: 'x'.repeat(64) } })).toEqual(['FieldValueInvalid metadata.labels'])
    expect(errors({ annotations: { a: 'x'.repeat(300_000) } })).toEqual(['FieldValueTooLong metadata.annotations'])
    expect(errors({ finalizers: ['bare'] })).toEqual(['FieldValueInvalid metadata.finalizers'])
    expect(errors({ ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'n', uid: '' }] })).toEqual([
      'FieldValueInvalid metadata.ownerReferences[0].uid',
    ])
  })
})
