import { decode, encode, type DecodedPacket } from 'dns-packet'
import * as fc from 'fast-check'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { EndpointSlice, Namespace, Service, ServiceImport } from '../../kube/kinds.ts'
import { ObjectCache } from '../cluster/cache.ts'
import { respond, type Transport } from './message.ts'
import { startDnsServer } from './server.ts'
import { resolve, type ZoneSources } from './zone.ts'

function zone(synced = true): ZoneSources {
  const namespaces = new ObjectCache<Namespace>()
  const services = new ObjectCache<Service>()
  const endpointSlices = new ObjectCache<EndpointSlice>()
  const serviceImports = new ObjectCache<ServiceImport>()
  const meta = (name: string, labels = {}): Service['metadata'] => ({ name, namespace: 'shop', uid: name, labels })
  namespaces.set({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } })
  const ports = [{ name: 'http', port: 80 }]
  const service = (name: string, spec: Service['spec']): void =>
    services.set({ apiVersion: 'v1', kind: 'Service', metadata: meta(name), spec })
  service('web', { clusterIP: '127.9.64.1', ports })
  service('db', { clusterIP: 'None', ports })
  service('void', { clusterIP: 'None', ports })
  service('out', { type: 'ExternalName', externalName: 'example.com' })
  const slice = (name: string, labels: Record<string, string>, addresses: string[]): void =>
    endpointSlices.set({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: meta(name, labels),
      addressType: 'IPv4',
      endpoints: [
        ...addresses.map((address, index) => ({
          addresses: [address],
          hostname: `db-${index}`,
          conditions: { ready: true },
        })),
        { addresses: ['127.9.1.99'], conditions: { ready: false } },
      ],
      ports: [{ name: 'http', port: 8080 }],
    })
  slice('db-1', { 'kubernetes.io/service-name': 'db' }, ['127.9.1.2', '127.9.1.3'])
  const mcs = 'multicluster.kubernetes.io'
  slice('far', { [`${mcs}/service-name`]: 'kv', [`${mcs}/source-cluster`]: 'west' }, ['127.9.2.2'])
  const imported = (name: string, spec: ServiceImport['spec']): void =>
    serviceImports.set({
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceImport',
      metadata: meta(name),
      spec,
    })
  imported('web', { type: 'ClusterSetIP', ips: ['127.9.192.7'], ports: [{ name: 'http', port: 80 }] })
  imported('kv', { type: 'Headless', ports: [{ name: 'http', port: 80 }] })
  if (synced) for (const cache of [namespaces, services, endpointSlices, serviceImports]) cache.markSynced()
  return { namespaces, services, endpointSlices, serviceImports, importsKnown: () => true }
}

const sources = zone()

type QueryType = 'A' | 'AAAA' | 'SRV' | 'TXT'

function ask(
  name: string,
  type: QueryType = 'A',
  options: { sources?: ZoneSources; transport?: Transport } = {},
): DecodedPacket {
  const query = encode({ type: 'query', id: 7, flags: 256, questions: [{ name, type }] })
  const answer = respond(query, options.transport ?? 'udp', (each, kind) =>
    resolve(each, kind, options.sources ?? sources),
  )
  if (answer === undefined) throw new Error('no answer')
  return decode(answer)
}

const rcode = (packet: DecodedPacket): number => (packet.flags ?? 0) & 0xf
const data = (packet: DecodedPacket): unknown[] =>
  (packet.answers ?? []).map((each) => ('data' in each ? each.data : undefined))

describe('cluster.local', () => {
  it.each(['web.shop.svc.cluster.local', 'WEB.shop.svc.cluster.LOCAL', 'web.shop.svc', 'web.shop'])(
    'finds %s',
    (name) => {
      const answer = ask(name)
      expect(data(answer)).toEqual(['127.9.64.1'])
      expect(answer.questions?.[0]?.name).toBe(name)
    },
  )

  it('gives headless services their ready pods, each by name too', () => {
    expect(data(ask('db.shop.svc.cluster.local'))).toEqual(['127.9.1.2', '127.9.1.3'])
    expect(data(ask('db-1.db.shop.svc.cluster.local'))).toEqual(['127.9.1.3'])
    expect(rcode(ask('void.shop.svc.cluster.local'))).toBe(3)
  })

  it('answers SRV for named ports', () => {
    expect(data(ask('_http._tcp.web.shop.svc.cluster.local', 'SRV'))).toMatchObject([
      { port: 80, target: 'web.shop.svc.cluster.local' },
    ])
    const headless = ask('_http._tcp.db.shop.svc.cluster.local', 'SRV')
    expect(data(headless)).toMatchObject([
      { port: 8080, target: 'db-0.db.shop.svc.cluster.local' },
      { port: 8080, target: 'db-1.db.shop.svc.cluster.local' },
    ])
    expect(headless.additionals).toHaveLength(2)
    expect(rcode(ask('_grpc._tcp.web.shop.svc.cluster.local', 'SRV'))).toBe(3)
  })

  it('tells no such name from no such record, and both from not ours', () => {
    const nodata = ask('web.shop.svc.cluster.local', 'AAAA')
    expect([rcode(nodata), nodata.answers?.length, nodata.authorities?.[0]?.type]).toEqual([0, 0, 'SOA'])
    expect(rcode(ask('no.shop.svc.cluster.local'))).toBe(3)
    expect(rcode(ask('web.elsewhere.svc.cluster.local'))).toBe(3)
    expect(rcode(ask('www.example.com'))).toBe(5)
    expect(data(ask('out.shop.svc.cluster.local'))).toEqual(['example.com'])
  })

  it('admits that it does not know yet', () => {
    expect(rcode(ask('no.shop.svc.cluster.local', 'A', { sources: zone(false) }))).toBe(2)
    const partly = { ...zone(), importsKnown: () => false }
    expect(rcode(ask('web.shop.svc.clusterset.local', 'A', { sources: partly }))).toBe(2)
  })
})

describe('clusterset.local', () => {
  it('follows the MCS specification', () => {
    expect(data(ask('web.shop.svc.clusterset.local'))).toEqual(['127.9.192.7'])
    expect(data(ask('web.shop.svc.clusterset.local', 'SRV'))).toMatchObject([
      { port: 80, target: 'web.shop.svc.clusterset.local' },
    ])
    expect(data(ask('kv.shop.svc.clusterset.local'))).toEqual(['127.9.2.2'])
    expect(data(ask('db-0.west.kv.shop.svc.clusterset.local'))).toEqual(['127.9.2.2'])
    expect(rcode(ask('west.kv.shop.svc.clusterset.local'))).toBe(0)
    expect(data(ask('west.kv.shop.svc.clusterset.local'))).toEqual([])
    expect(rcode(ask('west.web.shop.svc.clusterset.local'))).toBe(3)
    expect(String(data(ask('dns-version.clusterset.local', 'TXT')))).toBe('1.0.0')
  })
})

describe('respond', () => {
  it('never throws and never answers an answer, whatever the bytes', () => {
    const seed = encode({ type: 'query', id: 1, questions: [{ name: 'web.shop.svc.cluster.local', type: 'A' }] })
    const mutated = fc.tuple(fc.nat(seed.length - 1), fc.nat(255)).map(([at, value]) => {
      const bytes = Buffer.from(seed)
      bytes[at] = value
      return bytes
    })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 1_400 }).map((bytes) => Buffer.from(bytes)),
          mutated,
        ),
        (bytes) => {
          const answer = respond(bytes, 'udp', (name, type) => resolve(name, type, sources))
          if (answer === undefined) return
          expect(answer.readUInt16BE(0)).toBe(bytes.readUInt16BE(0))
          expect(answer.readUInt8(2) & 0x80).toBe(0x80)
          expect(answer.length).toBeLessThanOrEqual(1_232)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('truncates over UDP what only TCP can carry', () => {
    const many = zone()
    const addresses = Array.from({ length: 60 }, (_, index) => ({ addresses: [`127.9.3.${index + 2}`] }))
    const [slice] = [...many.endpointSlices.all()]
    if (slice !== undefined) (many.endpointSlices as ObjectCache<EndpointSlice>).set({ ...slice, endpoints: addresses })
    const udp = ask('db.shop.svc.cluster.local', 'A', { sources: many })
    expect([udp.flag_tc, udp.answers?.length]).toEqual([true, 0])
    expect(ask('db.shop.svc.cluster.local', 'A', { sources: many, transport: 'tcp' }).answers).toHaveLength(60)
  })
})

describe('startDnsServer', () => {
  it('answers several messages on one TCP connection and closes on one that is too long', async () => {
    const address = { host: '127.251.0.1', port: 15_053 }
    const server = await startDnsServer(address, (name, type) => resolve(name, type, sources))
    const query = encode({ type: 'query', id: 3, questions: [{ name: 'web.shop', type: 'A' }] })
    const frame = Buffer.concat([Buffer.from([0, query.length]), query])
    const answers = await new Promise<Buffer>((done) => {
      const chunks: Buffer[] = []
      const socket = connect(address, () => socket.write(Buffer.concat([frame, frame, Buffer.from([0xff, 0xff])])))
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.once('close', () => done(Buffer.concat(chunks)))
    })
    const length = answers.readUInt16BE(0)
    expect(answers.length).toBe(2 * (length + 2))
    expect(data(decode(answers.subarray(2, 2 + length)))).toEqual(['127.9.64.1'])
    await server.close()
  })
})
