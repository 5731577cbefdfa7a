import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { NameSchema } from '#gen/isthmus/dns/v1/name_pb.js'
import type { DnsName } from '../../model/dns.ts'
import { decodeResource, encodeResource } from './codec.ts'
import { decodeName, encodeName } from './name.ts'

const HEADLESS: DnsName = {
  name: 'db.shop.svc.cluster.local',
  addresses: [],
  ports: [{ name: 'sql', port: 5432, protocol: 'tcp' }],
  endpoints: [{ label: 'db-0.east', address: 'fd00::1', ports: { sql: 15432 } }],
}

describe('names on the wire', () => {
  it.each<DnsName>([
    HEADLESS,
    { ...HEADLESS, endpoints: [] },
    { name: '*.wild.example', addresses: ['240.240.0.1', '2001:2::1'], ports: [] },
    { name: 'q.shop.svc.clusterset.local', addresses: ['10.0.0.1'], ports: [{ name: '', port: 53, protocol: 'udp' }] },
  ])('come back as they went: %j', (value) => {
    const resource = { kind: 'name', value } as const
    expect(decodeResource('name', encodeResource(resource))).toEqual(resource)
    expect(decodeName(fromBinary(NameSchema, toBinary(NameSchema, encodeName(value))))).toEqual(value)
  })

  it.each<[string, Partial<DnsName>]>([
    ['name', { name: 'Upper.example' }],
    ['name', { name: 'a.*.example' }],
    ['name', { name: '' }],
    ['addresses[0]', { addresses: ['10.0.0.256'] }],
    ['addresses[0]', { addresses: ['fe80::1%eth0'] }],
    ['addresses', { addresses: Array.from({ length: 65 }, () => '10.0.0.1') }],
    ['ports[0].port', { ports: [{ name: 'a', port: 0, protocol: 'tcp' }] }],
    ['endpoints.endpoints[0].label', { endpoints: [{ label: '', address: '10.0.0.1', ports: {} }] }],
    ['endpoints.endpoints[0].ports["a"]', { endpoints: [{ label: 'a', address: '10.0.0.1', ports: { a: 70_000 } }] }],
  ])('are refused by path: %s', (path, wrong) => {
    const value = { ...HEADLESS, ...wrong }
    expect(decodeResource('name', encodeResource({ kind: 'name', value }))).toMatchObject({ rejection: { path } })
  })
})
