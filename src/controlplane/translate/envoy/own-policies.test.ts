import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Cluster } from '../../../model/config.ts'
import { decodeResource, encodeResource } from '../../../xds/codec/codec.ts'
import { snapshotOf, type SnapshotInput } from '../../testing/snapshot-of.ts'
import { Translator } from '../translator.ts'
import { withEnvoyBreaker } from './breaker.ts'

describe('an Envoy as a sidecar', () => {
  it('asks the control plane about limits that it counts, with the agent’s certificate', () => {
    const file = join(import.meta.dirname, '../../../../test/golden/rate-limit-cluster/in.yaml')
    const snapshot = snapshotOf(parse(readFileSync(file, 'utf8')) as SnapshotInput)
    const pod = snapshot.pods.get('shop/storefront-1')
    if (pod === undefined) throw new Error('no pod')
    const config = new Translator({ endpointIdKey: Buffer.from('test') }).translate(snapshot, { role: 'envoy', pod })
    const name = 'isthmus-rate-limits|shop/open'
    expect(config?.clusters.get(name)).toMatchObject({ endpoints: 'eds', tls: { secrets: 'agent' } })
    const [locality] = config?.endpoints.get(name)?.localities ?? []
    expect(locality?.endpoints).toMatchObject([{ port: 15_024, transport: 'mtls' }])
  })
})

describe('withEnvoyBreaker', () => {
  const cluster: Cluster = { name: 'a', endpoints: 'eds', lb: 'least-request', connectTimeoutMs: 1_000 }
  const breaker = { windowMs: 5_000, requestsMin: 20, failurePercent: 40, openMs: 2_000, rampMs: 1_000 }

  it('judges endpoints by the share that the policy says, all of them if need be', () => {
    const made = withEnvoyBreaker({ ...cluster, breaker })
    expect(made).toMatchObject({
      panicPercent: 0,
      outlier: {
        intervalMs: 5_000,
        baseEjectionMs: 2_000,
        ejectionPercentMax: 100,
        failurePercentage: { threshold: 40, hostsMin: 1, volumeMin: 20, enforcing: 100 },
      },
    })
    expect(decodeResource('cluster', encodeResource({ kind: 'cluster', value: made }))).toEqual({
      kind: 'cluster',
      value: made,
    })
  })

  it('leaves others as they are', () => {
    expect(withEnvoyBreaker(cluster)).toBe(cluster)
    const { failurePercent: _, ...slowOnly } = breaker
    const slow = { ...cluster, breaker: { ...slowOnly, slow: { afterMs: 10, percent: 50 } } }
    expect(withEnvoyBreaker(slow)).toBe(slow)
  })
})
