import { describe, expect, it } from 'vitest'
import type { CircuitBreakerPolicy, CircuitBreakerPolicySpec } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import { parseDuration } from '../../kube/durations.ts'
import { readBreakerPolicy } from '../observe/read-breaker.ts'
import { snapshotOf } from '../testing/snapshot-of.ts'
import { breakersOf } from './breakers.ts'

const MESH = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'checkout', namespace: 'shop' },
  spec: {
    ports: [
      { name: 'http', port: 80 },
      { name: 'admin', port: 81 },
    ],
  },
}
const IMPORT = {
  apiVersion: 'multicluster.x-k8s.io/v1beta1',
  kind: 'ServiceImport',
  metadata: { name: 'checkout', namespace: 'shop' },
  spec: { type: 'ClusterSetIP', ports: [{ port: 80 }] },
}

function policy(
  name: string,
  spec: Partial<CircuitBreakerPolicySpec>,
  { namespace = 'shop', created = '2026-01-01T00:00:00Z' } = {},
): CircuitBreakerPolicy {
  return {
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'CircuitBreakerPolicy',
    metadata: { name, namespace, creationTimestamp: created, generation: 1 },
    spec: { targetRefs: [{ kind: 'Service', name: 'checkout' }], ...spec },
  }
}

const judge = (...policies: KubeObject[]) =>
  breakersOf(snapshotOf({ mesh: MESH, objects: [SERVICE, IMPORT, ...policies] }))

describe('breakersOf', () => {
  it('applies to every port of a Service, or to one, with the defaults filled in', () => {
    const all = judge(policy('p', {}))
    expect([...all.breakers]).toEqual([
      [
        'outbound|80||checkout.shop.svc.cluster.local',
        { windowMs: 10_000, requestsMin: 10, failurePercent: 50, openMs: 5_000, rampMs: 10_000 },
      ],
      ['outbound|81||checkout.shop.svc.cluster.local', expect.anything()],
    ])
    expect(all.verdicts.get('shop/p')).toEqual({ accepted: true, reason: 'Accepted', message: '' })
    const one = judge(policy('p', { targetRefs: [{ kind: 'Service', name: 'checkout', port: 81 }] }))
    expect([...one.breakers.keys()]).toEqual(['outbound|81||checkout.shop.svc.cluster.local'])
  })

  it('applies to an import under its own name', () => {
    const { breakers } = judge(policy('p', { targetRefs: [{ kind: 'ServiceImport', name: 'checkout' }] }))
    expect([...breakers.keys()]).toEqual(['outbound|80||checkout.shop.svc.clusterset.local'])
  })

  it('watches slow answers alone where only those are named', () => {
    const { breakers } = judge(policy('p', { slowAfter: '1s500ms' }))
    const [breaker] = breakers.values()
    expect(breaker).toMatchObject({ slow: { afterMs: 1_500, percent: 50 } })
    expect(breaker?.failurePercent).toBeUndefined()
  })

  it('leaves a target to the older policy and says so', () => {
    const { breakers, verdicts } = judge(
      policy('a-newer', { failurePercent: 10 }, { created: '2026-02-01T00:00:00Z' }),
      policy('z-older', { failurePercent: 90 }),
    )
    expect(breakers.get('outbound|80||checkout.shop.svc.cluster.local')?.failurePercent).toBe(90)
    expect(verdicts.get('shop/z-older')?.accepted).toBe(true)
    expect(verdicts.get('shop/a-newer')).toEqual({
      accepted: false,
      reason: 'Conflicted',
      message: 'Service checkout follows the older policy shop/z-older',
    })
  })

  it('finds targets in the namespace of the policy only, and holds for those that are there', () => {
    const other = judge(policy('p', {}, { namespace: 'other' }))
    expect(other.breakers.size).toBe(0)
    expect(other.verdicts.get('other/p')).toMatchObject({ accepted: false, reason: 'TargetNotFound' })
    const targetRefs = [
      { kind: 'Service' as const, name: 'checkout', port: 80 },
      { kind: 'Service' as const, name: 'nobody' },
    ]
    const half = judge(policy('p', { targetRefs }))
    expect(half.breakers.size).toBe(1)
    expect(half.verdicts.get('shop/p')?.message).toBe('Service nobody is not in namespace shop')
  })

  it.each<[string, Partial<CircuitBreakerPolicySpec>]>([
    ['spec.slowPercent needs spec.slowAfter', { slowPercent: 10 }],
    ['spec.window must be from 1000 ms to 600000 ms', { window: '500ms' }],
    ['spec.openFor must be from 100 ms to 3600000 ms', { openFor: '2h' }],
    [
      'spec.fallback.headers[0].name may not be Content-Length',
      { fallback: { headers: [{ name: 'Content-Length', value: '1' }] } },
    ],
    ['spec.fallback.body cannot go with status 204', { fallback: { status: 204, body: 'x' } }],
    [
      'spec.targetRefs[0].group must be "multicluster.x-k8s.io" for a ServiceImport',
      { targetRefs: [{ group: '', kind: 'ServiceImport', name: 'checkout' }] },
    ],
  ])('refuses what the schema cannot: %s', (message, spec) => {
    const { breakers, verdicts } = judge(policy('p', spec))
    expect(breakers.size).toBe(0)
    expect(verdicts.get('shop/p')).toEqual({ accepted: false, reason: 'Invalid', message })
  })
})

describe('readBreakerPolicy', () => {
  it('forgets a policy that is being deleted', () => {
    const leaving = policy('p', {})
    leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
    expect(readBreakerPolicy(leaving)).toBeUndefined()
  })
})

describe('parseDuration', () => {
  it.each([
    ['1h', 3_600_000],
    ['1m30s', 90_000],
    ['250ms', 250],
    ['0s', 0],
    ['', undefined],
    ['1', undefined],
    ['1d', undefined],
    ['-1s', undefined],
    ['1.5s', undefined],
  ])('%s', (text, expected) => {
    expect(parseDuration(text)).toBe(expected)
  })
})
