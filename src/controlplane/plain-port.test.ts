import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { afterEach, describe, expect, it } from 'vitest'
import {
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { TYPE_URLS } from '../xds/resources.ts'
import { createAdsServer } from '../xds/server.ts'
import { STATE_OF_THE_WORLD } from '../xds/service.ts'
import { configOf } from '../xds/testing/configs.ts'
import type { PodFacts } from './observe/facts.ts'
import { believeNode, openPlainPort } from './plain-port.ts'
import type { ProxyClient } from './push.ts'

const POD = { namespace: 'shop', name: 'a', uid: 'u' } as PodFacts
const findPod = (namespace: string, name: string): PodFacts | undefined =>
  namespace === 'shop' && name === 'a' ? POD : undefined
const nodeOf = (id: string, metadata = {}) => ({ id, cluster: '', metadata })
const ID = 'sidecar~10.0.0.1~a.shop~shop.svc.cluster.local'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

describe('believeNode', () => {
  it('gives the view of the pod that is named, and never a gateway’s', () => {
    const client = { namespace: 'shop', pod: 'a', podUid: 'u', role: 'sidecar' }
    expect(believeNode(nodeOf(ID), findPod)).toEqual({ ok: true, client })
    expect(believeNode(nodeOf(ID, { ROLE: 'east-west' }), findPod)).toEqual({ ok: true, client })
    expect(believeNode(nodeOf(ID, { GENERATOR: 'grpc' }), findPod)).toMatchObject({ client: { role: 'grpc' } })
  })

  it.each(['sidecar~10.0.0.1~b.shop~shop.svc.cluster.local', 'anything', ''])('refuses %s', (id) => {
    expect(believeNode(nodeOf(id), findPod)).toMatchObject({ ok: false, code: 'permission-denied' })
  })
})

describe('openPlainPort', () => {
  it('serves on loopback without TLS and token', async () => {
    const ads = createAdsServer<ProxyClient>({
      authenticate: () => Promise.resolve({ ok: false, code: 'unauthenticated', reason: 'no token' }),
      configFor: () => ({ config: configOf({ x: ['10.0.0.1'] }), version: '1' }),
      clock: systemClock,
      log: createLog('plain', 'silent'),
    })
    const { server, port } = await openPlainPort(ads, { podIp: '10.0.0.5', findPod, port: 0 })
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
    closing.push(
      () => server.forceShutdown(),
      () => client.close(),
    )
    const { path } = STATE_OF_THE_WORLD
    const encode = (bytes: Buffer): Buffer => bytes
    const decode = (bytes: Buffer): DiscoveryResponse => fromBinary(DiscoveryResponseSchema, bytes)
    const stream = client.makeBidiStreamRequest(path, encode, decode, new Metadata())
    const answer = new Promise<DiscoveryResponse>((resolve, reject) => {
      stream.once('data', resolve).once('error', reject)
    })
    const request = create(DiscoveryRequestSchema, { typeUrl: TYPE_URLS.cluster, node: { id: ID } })
    stream.write(Buffer.from(toBinary(DiscoveryRequestSchema, request)))
    expect((await answer).resources).toHaveLength(1)
    stream.cancel()
  })
})
