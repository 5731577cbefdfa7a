import { fromJson, type JsonObject, type JsonValue, type Registry } from '@bufbuild/protobuf'
import { createRegistry } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { HttpProtocolOptionsSchema } from '#gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js'
import { refusalOf } from '../testing/refusal.ts'
import { decodeCluster } from './cluster.ts'
import { HTTP_PROTOCOL_OPTIONS } from './cluster-protocol.ts'

const registry: Registry = createRegistry(HttpProtocolOptionsSchema)
const CLUSTER = { name: 'a', type: 'STATIC', connect_timeout: '1s', load_assignment: { cluster_name: 'a' } }

const decode = (json: JsonObject): ReturnType<typeof decodeCluster> =>
  decodeCluster('', fromJson(ClusterSchema, { ...CLUSTER, ...json }, { registry }))
const withOptions = (options: JsonObject): JsonObject => ({
  typed_extension_protocol_options: {
    [HTTP_PROTOCOL_OPTIONS]: { '@type': `type.googleapis.com/${HTTP_PROTOCOL_OPTIONS}`, ...options },
  },
})
const HTTP_1: Record<string, JsonValue> = { explicit_http_config: { http_protocol_options: {} } }

describe('decodeCluster', () => {
  it('reads thresholds by priority', () => {
    const thresholds = [
      { max_connections: 5, retry_budget: { budget_percent: { value: 10 } } },
      { priority: 'HIGH', max_retries: 7 },
    ]
    expect(decode({ circuit_breakers: { thresholds, per_host_thresholds: [{ max_connections: 2 }] } })).toMatchObject({
      circuitBreakers: {
        default: { connectionsMax: 5, retryBudget: { percent: 10 } },
        high: { retriesMax: 7 },
        hostConnectionsMax: 2,
      },
    })
  })

  it('reads how connections live', () => {
    const common = { idle_timeout: '5s', max_connection_duration: '60s', max_requests_per_connection: 100 }
    expect(decode(withOptions({ ...HTTP_1, common_http_protocol_options: common }))).toMatchObject({
      connections: { idleMs: 5_000, durationMaxMs: 60_000, requestsMax: 100 },
    })
    expect(decode(withOptions(HTTP_1)).connections).toBeUndefined()
  })

  it.each<[string, JsonObject]>([
    ['circuit_breakers.thresholds[1].priority', { circuit_breakers: { thresholds: [{}, {}] } }],
    ['circuit_breakers.per_host_thresholds', { circuit_breakers: { per_host_thresholds: [{}, {}] } }],
    [
      `typed_extension_protocol_options["${HTTP_PROTOCOL_OPTIONS}"].explicit_http_config`,
      withOptions({ auto_config: {} }),
    ],
  ])('refuses at %s', (path, json) => {
    expect(refusalOf(() => decode(json)).path).toContain(path.includes('explicit') ? HTTP_PROTOCOL_OPTIONS : path)
  })
})
