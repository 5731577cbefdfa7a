import { fromJson, type JsonObject } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { refusalOf } from '../testing/refusal.ts'
import { decodeCluster } from './cluster.ts'

/** As an operator would write it. */
const decode = (json: JsonObject): ReturnType<typeof decodeCluster> =>
  decodeCluster(
    '',
    fromJson(ClusterSchema, {
      name: 'a',
      type: 'STATIC',
      connect_timeout: '1s',
      load_assignment: { cluster_name: 'a' },
      ...json,
    }),
  )

describe('decodeCluster', () => {
  it('takes Envoy’s defaults where nothing is said', () => {
    expect(decode({})).toMatchObject({ lb: 'round-robin', localityWeighted: false })
    expect(decode({ lb_policy: 'MAGLEV' })).toMatchObject({ lb: 'maglev' })
  })

  it('reads policies with their settings', () => {
    const ring = { minimum_ring_size: 64, maximum_ring_size: 128 }
    expect(decode({ lb_policy: 'RING_HASH', ring_hash_lb_config: ring })).toMatchObject({
      ringHash: { sizeMin: 64, sizeMax: 128 },
    })
    const slow = { slow_start_window: '60s', aggression: { default_value: 2 } }
    const config = { choice_count: 3, slow_start_config: slow }
    expect(decode({ lb_policy: 'LEAST_REQUEST', least_request_lb_config: config })).toMatchObject({
      leastRequest: { choiceCount: 3 },
      slowStart: { windowMs: 60_000, aggression: 2 },
    })
  })

  it.each<[string, JsonObject]>([
    ['lb_policy', { lb_policy: 'CLUSTER_PROVIDED' }],
    ['lb_policy', { lb_policy: 'RING_HASH', maglev_lb_config: {} }],
    [
      'least_request_lb_config.choice_count',
      { lb_policy: 'LEAST_REQUEST', least_request_lb_config: { choice_count: 1 } },
    ],
    ['common_lb_config.healthy_panic_threshold', { common_lb_config: { healthy_panic_threshold: { value: 101 } } }],
    [
      'ring_hash_lb_config.hash_function',
      { lb_policy: 'RING_HASH', ring_hash_lb_config: { hash_function: 'MURMUR_HASH_2' } },
    ],
    [
      'ring_hash_lb_config.minimum_ring_size',
      { lb_policy: 'RING_HASH', ring_hash_lb_config: { minimum_ring_size: 9, maximum_ring_size: 8 } },
    ],
    ['maglev_lb_config.table_size', { lb_policy: 'MAGLEV', maglev_lb_config: { table_size: 65_536 } }],
    ['lb_subset_config.subset_selectors[0].keys', { lb_subset_config: { subset_selectors: [{}] } }],
    [
      'lb_subset_config.subset_selectors[0].fallback_keys_subset',
      {
        lb_subset_config: {
          subset_selectors: [{ keys: ['a'], fallback_policy: 'KEYS_SUBSET', fallback_keys_subset: ['a'] }],
        },
      },
    ],
  ])('refuses %s', (path, json) => {
    expect(refusalOf(() => decode(json)).path).toBe(path)
  })
})
