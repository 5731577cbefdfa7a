import { describe, expect, it } from 'vitest'
import type { RateLimitPolicySpec } from '../../kinds.ts'
import type { KubeObject } from '../../object.ts'
import { adviseObject } from '../advise.ts'

const limit = { name: 'all', requests: 1, window: 'minute' } as const

const said = (spec: Partial<RateLimitPolicySpec> | Record<string, unknown>): string[] =>
  adviseObject({
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { limits: [limit], ...spec },
  } as KubeObject).map(({ severity, code, field }) => `${severity} ${code} ${field}`)

const by = (...keys: object[]): object => ({ limits: [{ ...limit, by: keys }] })

describe('RateLimitPolicy', () => {
  it('is sound with a limit alone, and with all there is', () => {
    expect(said({})).toEqual([])
    expect(
      said({
        targetRefs: [{ kind: 'Service', name: 'a' }],
        scope: 'cluster',
        mode: 'shadow',
        whenUnavailable: 'refuse',
        limits: [
          {
            ...limit,
            burst: 2,
            by: [
              { type: 'Principal' },
              { type: 'Claim', name: '[realm][tier]' },
              { type: 'Address', ipv4Bits: 24, ipv6Bits: 56 },
            ],
            when: { paths: ['/a', '/b*', '*.c'], methods: ['GET'], headers: [{ name: 'x' }] },
            quotas: [{ values: ['a', 'b', 'c'], requests: 9, burst: 1 }],
          },
        ],
      }),
    ).toEqual([])
  })

  it.each([
    [{ limits: [] }, 'spec.limits'],
    [{ limits: [{ ...limit, requests: 0 }] }, 'spec.limits[0].requests'],
    [{ limits: [{ ...limit, window: 'year' }] }, 'spec.limits[0].window'],
    [{ limits: [limit, limit] }, 'spec.limits[1].name'],
    [{ selector: { matchLabels: {} }, targetRefs: [{ kind: 'Service', name: 'a' }] }, 'spec'],
    [{ selector: { matchLabels: { a: '*' } } }, 'spec.selector.matchLabels.a'],
    [{ targetRefs: [{ kind: 'Service', name: 'a', group: 'multicluster.x-k8s.io' }] }, 'spec.targetRefs[0].group'],
    [{ whenUnavailable: 'refuse' }, 'spec.whenUnavailable'],
    [by({ type: 'Header' }), 'spec.limits[0].by[0].name'],
    [by({ type: 'Header', name: 'a b' }, { type: 'Method' }), 'spec.limits[0].by[0].name'],
    [by({ type: 'Claim', name: '[a' }), 'spec.limits[0].by[0].name'],
    [by({ type: 'Principal', name: 'x' }), 'spec.limits[0].by[0].name'],
    [by({ type: 'Method', ipv4Bits: 8 }), 'spec.limits[0].by[0]'],
    [{ limits: [{ ...limit, quotas: [{ values: ['a'], requests: 1 }] }] }, 'spec.limits[0].quotas[0].values'],
    [{ limits: [{ ...limit, when: { paths: ['a'] } }] }, 'spec.limits[0].when.paths[0]'],
    [{ limits: [{ ...limit, when: { paths: ['/a*b'] } }] }, 'spec.limits[0].when.paths[0]'],
    [{ limits: [{ ...limit, when: { paths: ['/a?b'] } }] }, 'spec.limits[0].when.paths[0]'],
  ])('%j is refused with its field', (spec, field) => {
    expect(said(spec).filter((one) => one.startsWith('error'))).toEqual([expect.stringMatching(/^error FIELD_/)])
    expect(said(spec)[0]).toContain(` ${field}`)
  })

  it('warns where clients choose what they are counted by', () => {
    expect(said(by({ type: 'Header', name: 'x-key' }))).toEqual(['warning LIMIT_EVADABLE spec.limits[0].by'])
    expect(said(by({ type: 'Header', name: 'x-key' }, { type: 'Address' }))).toEqual([])
  })
})
