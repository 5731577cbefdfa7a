import { fromJson, type JsonObject } from '@bufbuild/protobuf'
import { assert, constantFrom, integer, option, property, record, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Cluster, ServiceBreaker } from '../../model/config.ts'
import { refusalOf } from '../testing/refusal.ts'
import { decodeCluster, encodeCluster } from './cluster.ts'
import { BREAKER_METADATA } from './cluster-breaker.ts'

const CLUSTER: Cluster = {
  name: 'a',
  endpoints: 'eds',
  lb: 'round-robin',
  connectTimeoutMs: 1_000,
}
const FIELDS = { window_ms: 10_000, requests_min: 10, failure_percent: 50, open_ms: 5_000, ramp_ms: 0 }
const BASE = { name: 'a', type: 'STATIC', connect_timeout: '1s', load_assignment: { cluster_name: 'a' } }

const decode = (fields: JsonObject, namespace = BREAKER_METADATA): Cluster =>
  decodeCluster('', fromJson(ClusterSchema, { ...BASE, metadata: { filter_metadata: { [namespace]: fields } } }))

describe('decodeCluster', () => {
  it('gets back every breaker that encodeCluster wrote', () => {
    const percent = integer({ min: 1, max: 100 })
    const breakers = record({
      windowMs: integer({ min: 1_000, max: 600_000 }),
      requestsMin: integer({ min: 1, max: 1_000_000 }),
      failurePercent: percent,
      slow: option(record({ afterMs: integer({ min: 1, max: 3_600_000 }), percent }), { nil: undefined }),
      openMs: integer({ min: 100, max: 3_600_000 }),
      rampMs: integer({ min: 0, max: 3_600_000 }),
      fallback: option(
        record({
          status: constantFrom(200, 404, 503),
          body: string({ unit: 'grapheme', maxLength: 50 }),
          headers: constantFrom([], ['content-type', 'text/plain', 'x-a', 'b c']),
        }),
        { nil: undefined },
      ),
    })
    assert(
      property(breakers, ({ slow, fallback, ...rest }) => {
        const breaker: ServiceBreaker = {
          ...rest,
          ...(slow !== undefined && { slow }),
          ...(fallback !== undefined && { fallback }),
        }
        const message = encodeCluster({ ...CLUSTER, breaker })
        expect(decodeCluster('', message).breaker).toEqual(breaker)
      }),
    )
  })

  it.each<[string, JsonObject]>([
    ['window_ms', { ...FIELDS, window_ms: 999 }],
    ['window_ms', { ...FIELDS, window_ms: 1_000.5 }],
    ['requests_min', { ...FIELDS, requests_min: 0 }],
    ['requests_min', { ...FIELDS, requests_min: '10' }],
    ['failure_percent', { ...FIELDS, failure_percent: 101 }],
    ['open_ms', { window_ms: 10_000, requests_min: 10, failure_percent: 50, ramp_ms: 0 }],
    ['slow', { ...FIELDS, slow: 5 }],
    ['slow.percent', { ...FIELDS, slow: { after_ms: 5 } }],
    ['slow.often', { ...FIELDS, slow: { after_ms: 5, percent: 1, often: true } }],
    ['half_open', { ...FIELDS, half_open: 1 }],
    ['fallback.status', { ...FIELDS, fallback: { status: 101 } }],
    ['fallback.body', { ...FIELDS, fallback: { status: 204, body: 'x' } }],
    ['fallback.headers', { ...FIELDS, fallback: { status: 200, headers: ['a'] } }],
    ['fallback.headers[0]', { ...FIELDS, fallback: { status: 200, headers: ['Content-Length', '5'] } }],
    ['fallback.headers[0]', { ...FIELDS, fallback: { status: 200, headers: ['content-length', '5'] } }],
    ['fallback.headers[1]', { ...FIELDS, fallback: { status: 200, headers: ['a', 'b\r\nset-cookie: c'] } }],
  ])('refuses at %s', (path, fields) => {
    expect(refusalOf(() => decode(fields)).path).toBe(`metadata.filter_metadata["${BREAKER_METADATA}"].${path}`)
  })

  it('refuses a breaker that nothing opens, and metadata of others', () => {
    const { failure_percent: _, ...nothing } = FIELDS
    expect(refusalOf(() => decode(nothing)).message).toContain('what opens it')
    expect(refusalOf(() => decode(FIELDS, 'istio')).path).toBe('metadata.filter_metadata["istio"]')
  })
})
