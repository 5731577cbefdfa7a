import { fromJson, type JsonObject } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { refusalOf } from '../testing/refusal.ts'
import { decodeCluster, encodeCluster } from './cluster.ts'

const ONE = { endpoint: { address: { socket_address: { address: 'shop.example', port_value: 80 } } } }
const decode = (type: string, json: JsonObject = {}, endpoints = [ONE]): ReturnType<typeof decodeCluster> => {
  const load_assignment = { cluster_name: 'a', endpoints: [{ lb_endpoints: endpoints }] }
  return decodeCluster(
    '',
    fromJson(ClusterSchema, { name: 'a', type, connect_timeout: '1s', load_assignment, ...json }),
  )
}

describe('decodeCluster', () => {
  it('reads both kinds of DNS, and writes them again', () => {
    const strict = decode('STRICT_DNS', {
      dns_refresh_rate: '60s',
      respect_dns_ttl: true,
      dns_lookup_family: 'V4_ONLY',
    })
    expect(strict.dns).toEqual({ kind: 'strict', refreshMs: 60_000, respectTtl: true, family: 'v4' })
    const logical = decode('LOGICAL_DNS')
    expect(logical.dns).toEqual({ kind: 'logical' })
    expect(decodeCluster('', encodeCluster(strict))).toEqual(strict)
    expect(decodeCluster('', encodeCluster(logical))).toEqual(logical)
  })

  it.each<[string, string, JsonObject, (typeof ONE)[]]>([
    ['lb_policy', 'ORIGINAL_DST', {}, [ONE]],
    ['load_assignment', 'LOGICAL_DNS', {}, [ONE, ONE]],
    ['dns_refresh_rate', 'STATIC', { dns_refresh_rate: '5s' }, [ONE]],
    ['dns_refresh_rate', 'STRICT_DNS', { dns_refresh_rate: '0.002s' }, [ONE]],
    ['dns_lookup_family', 'STATIC', { dns_lookup_family: 'V4_ONLY' }, [ONE]],
  ])('refuses %s with %s', (path, type, json, endpoints) => {
    expect(refusalOf(() => decode(type, json, endpoints)).path).toBe(path)
  })
})
