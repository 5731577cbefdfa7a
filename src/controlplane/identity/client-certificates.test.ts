/** Certificates instead of tokens on the xDS port: whose are taken, for which pod, and that no other opens it. */
import { Client, credentials, experimental, Metadata, Server, status } from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { testMesh, type TestCredential } from '../../pki/testing/mesh.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createAdsServer } from '../../xds/server.ts'
import { TYPE_URLS } from '../../xds/resources.ts'
import { configOf } from '../../xds/testing/configs.ts'
import type { PodFacts } from '../observe/facts.ts'
import { authenticateProxy, type ProxyClient } from '../push.ts'
import { Authenticator } from './authenticator.ts'
import { callerOfCertificate } from './certificate-caller.ts'
import { ClientRoots } from './client-roots.ts'
import { ServingCertificate } from './serving.ts'
import { MemoryClient } from '../../kube/testing/memory-client.ts'

const NAME = 'control.plane.svc'
const mesh = testMesh({ clusters: ['east', 'west'] })
const stranger = testMesh({ clusters: ['east'] })
const east = mesh.cluster('east')
const own = { trustDomain: east.trustDomain, namespace: 'shop', serviceAccount: 'checkout' }
const NODE = 'sidecar~10.0.0.1~checkout-1.shop~shop.svc.cluster.local'
const PATH = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources'

const pods: Readonly<Record<string, Pick<PodFacts, 'name' | 'namespace' | 'uid' | 'serviceAccount'>>> = {
  'shop/checkout-1': { name: 'checkout-1', namespace: 'shop', uid: 'u1', serviceAccount: 'checkout' },
  'shop/bank-1': { name: 'bank-1', namespace: 'shop', uid: 'u2', serviceAccount: 'bank' },
}
const findPod = (namespace: string, name: string): PodFacts | undefined =>
  pods[`${namespace}/${name}`] as PodFacts | undefined

describe('15012 with certificates', () => {
  const grpc = new Server()
  const roots = new ClientRoots(east.serving.certificatePem)
  let serving: ServingCertificate
  let port = 0

  beforeAll(async () => {
    const log = pino({ level: 'silent' })
    const authenticator = new Authenticator({ client: new MemoryClient(), clock: systemClock, findPod })
    const ads = createAdsServer<ProxyClient>({
      authenticate: (metadata, node, der) =>
        authenticateProxy(authenticator, metadata.get('authorization'), node, (claimed) => {
          const facts = { trustDomain: east.trustDomain, revokedIssuers: [], nowMs: systemClock.now(), findPod }
          return der && callerOfCertificate({ der, claimed, ...facts })
        }),
      configFor: () => ({ config: configOf({ a: [] }), version: '1' }),
      clock: systemClock,
      log,
    })
    ads.register(grpc)
    serving = new ServingCertificate({ authority: east.serving, names: [NAME], clock: systemClock })
    const secure = experimental.createCertificateProviderServerCredentials(serving, roots, false)
    port = await new Promise<number>((resolve, reject) => {
      grpc.bindAsync('127.0.0.1:0', secure, (error, bound) => (error === null ? resolve(bound) : reject(error)))
    })
    roots.set([mesh.root.certificatePem])
  })
  afterAll(() => {
    serving.close()
    grpc.forceShutdown()
  })

  /** Names of the clusters that came, or the status. */
  function ask(
    shown: TestCredential | undefined,
    { node = NODE, token }: { readonly node?: string; readonly token?: string } = {},
  ): Promise<number | readonly string[]> {
    const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text))
    const tls = credentials.createSsl(
      Buffer.from(east.serving.certificatePem),
      pem(shown?.keyPem),
      pem(shown?.chain.join('')),
    )
    const client = new Client(`127.0.0.1:${port}`, tls, {
      'grpc.ssl_target_name_override': NAME,
      'grpc.default_authority': NAME,
      'grpc.use_local_subchannel_pool': 1,
    })
    const metadata = new Metadata()
    if (token !== undefined) metadata.set('authorization', token)
    return new Promise<number | readonly string[]>((resolve) => {
      const stream = client.makeBidiStreamRequest(
        PATH,
        (request: Uint8Array) => Buffer.from(request),
        (bytes) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
        metadata,
      )
      stream.on('error', (error) => resolve((error as unknown as { code: number }).code))
      stream.on('data', (answer: DeltaDiscoveryResponse) => resolve(answer.resources.map(({ name }) => name)))
      const request = create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.cluster, node: { id: node } })
      stream.write(toBinary(DeltaDiscoveryRequestSchema, request))
    }).finally(() => client.close())
  }

  it('serves the pod that has the account of the certificate', async () => {
    expect(await ask(east.workload(own))).toEqual(['a'])
  })

  it('refuses a node id that names a pod of another account, or none', async () => {
    for (const pod of ['bank-1.shop', 'checkout-9.shop']) {
      const node = `sidecar~10.0.0.1~${pod}~shop.svc.cluster.local`
      expect(await ask(east.workload(own), { node })).toBe(status.PERMISSION_DENIED)
    }
  })

  it('refuses a token that is bad, whatever certificate comes with it', async () => {
    expect(await ask(east.workload(own), { token: 'Bearer !' })).toBe(status.UNAUTHENTICATED)
  })

  const uri = 'spiffe://east.demo.mesh/ns/shop/sa/checkout'
  const old = systemClock.now() - 3_600_000
  it.each<readonly [string, () => TestCredential | undefined]>([
    ['nobody’s', () => undefined],
    ['of another cluster', () => mesh.cluster('west').workload({ ...own, trustDomain: 'west.demo.mesh' })],
    ['of another cluster with our name', () => mesh.cluster('west').forge({ uris: [uri] })],
    ['of another root with our name', () => stranger.cluster('east').forge({ uris: [uri] })],
    ['expired', () => east.workload(own, { nowMs: old, ttlMs: 60_000 })],
    ['with two names', () => east.forge({ uris: [uri, 'spiffe://east.demo.mesh/ns/shop/sa/bank'] })],
    ['with a name of the DNS', () => east.forge({ dns: ['checkout.east.demo.mesh'] })],
    ['of a CA', () => east.forge({ uris: [uri], isCa: true })],
  ])('is shut to a certificate %s', async (_what, make) => {
    expect(typeof (await ask(make()))).toBe('number')
  })
})
