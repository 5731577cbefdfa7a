import { describe, expect, it } from 'vitest'
import { configOf } from '../../../xds/testing/configs.ts'
import { notRunByEnvoy } from './not-run.ts'

describe('notRunByEnvoy', () => {
  const config = configOf({ a: [], b: [] })

  it('has nothing to say of what Envoy runs', () => {
    expect(notRunByEnvoy(config)).toEqual([])
  })

  it('names circuit breakers of ours, and revocation by issuer', () => {
    const breaker = { windowMs: 1_000, requestsMin: 1, openMs: 1_000, rampMs: 0 }
    const clusters = new Map(
      Array.from(config.clusters, ([name, cluster]) => [name, name === 'a' ? { ...cluster, breaker } : cluster]),
    )
    const bundle = { name: 'ROOTCA', roots: {}, revokedTrustDomains: [], revokedIssuers: ['00ff'] }
    const secrets = new Map([['ROOTCA', bundle]])
    expect(notRunByEnvoy({ ...config, clusters, secrets })).toEqual([
      'CircuitBreakerPolicy for a',
      'revocation by issuer key',
    ])
  })
})
