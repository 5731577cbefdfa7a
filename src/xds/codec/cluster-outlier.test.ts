import { fromJson, type JsonObject } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { OutlierDetectionSchema } from '#gen/envoy/config/cluster/v3/outlier_detection_pb.js'
import { refusalOf } from '../testing/refusal.ts'
import { decodeOutlier } from './cluster-outlier.ts'

const decode = (json: JsonObject): ReturnType<typeof decodeOutlier> =>
  decodeOutlier('', fromJson(OutlierDetectionSchema, json))

describe('decodeOutlier', () => {
  it('takes Envoy’s defaults where nothing is said', () => {
    expect(decode({})).toEqual({
      consecutiveErrors: 0,
      consecutive5xx: 5,
      successRate: {},
      baseEjectionMs: 30_000,
      ejectionPercentMax: 10,
    })
    expect(decode({ split_external_local_origin_errors: true })).toMatchObject({ consecutiveLocalOrigin: 5 })
  })

  it('leaves out detectors that enforce nothing', () => {
    const off = { enforcing_consecutive_5xx: 0, enforcing_success_rate: 0 }
    expect(decode({ ...off, enforcing_failure_percentage: 30 })).toEqual({
      consecutiveErrors: 0,
      failurePercentage: { enforcing: 30 },
      baseEjectionMs: 30_000,
      ejectionPercentMax: 10,
    })
  })

  it.each<[string, JsonObject]>([
    ['max_ejection_percent', { max_ejection_percent: 101 }],
    ['enforcing_failure_percentage', { enforcing_failure_percentage: 101 }],
    ['consecutive_5xx', { consecutive_5xx: 0 }],
    ['interval', { interval: '0.001s' }],
    ['max_ejection_time', { base_ejection_time: '30s', max_ejection_time: '10s' }],
  ])('refuses %s', (path, json) => {
    expect(refusalOf(() => decode(json)).path).toBe(path)
  })
})
