/**
 * A thief holds the CA key of `east` and dials `west`: what he mints for other clusters, or in ways no cluster may, is
 * refused by sidecar and gateway, with node:tls and with the real openssl, before an application byte. Strangers get
 * nothing from any port; and what is not exported cannot be reached, through the gateway or past it.
 */
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SERVICE_EXPORTS, type Pod } from '../../src/kube/kinds.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { federationSni, gatewaySni, innerSni, joinSni } from '../../src/model/sni.ts'
import { CREATE_CERTIFICATE_PATH } from '../../src/pki/certificate-messages.ts'
import { testMesh, type TestCredential } from '../../src/pki/testing/mesh.ts'
import { dial, dialOpenssl, dialPlain, stealAuthority, type Answer, type Call, type Thief } from '../harness/attack.ts'
import { block, frame, HELLO } from '../harness/frames.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { isInstalled } from '../harness/process.ts'

const MESH = 'pair.mesh'
const EAST = `east.${MESH}`
const WEST = `west.${MESH}`
const DAY_MS = 86_400_000
const GRPC_UNAUTHENTICATED = '16'
const CHECKOUT = `spiffe://${EAST}/ns/shop/sa/checkout`
const hasOpenssl = await isInstalled('openssl', ['version'])

let mesh: Mesh
let thief: Thief
let sidecar: string
let gateway: { west: string; east: string }
let federation: string
let controlPlane: string

beforeAll(async () => {
  mesh = await startMesh()
  const [east, west] = [mesh.cluster('east'), mesh.cluster('west')]
  thief = await stealAuthority(east.client)
  const ip = async (cluster: typeof east, app: string, namespace?: string): Promise<string> =>
    (await cluster.pod(app, namespace)).status?.podIP ?? ''
  sidecar = await ip(west, 'inventory')
  gateway = {
    west: await ip(west, SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE),
    east: await ip(east, SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE),
  }
  federation = await ip(east, SYSTEM_ACCOUNTS.federation, SYSTEM_NAMESPACE)
  controlPlane = await ip(west, SYSTEM_ACCOUNTS.controlPlane, SYSTEM_NAMESPACE)
})

afterAll(() => mesh?.stop())

const FORGERIES: Readonly<Record<string, (by: Thief) => TestCredential>> = {
  'an identity of west': (by) => by.forge({ uris: [`spiffe://${WEST}/ns/shop/sa/checkout`] }),
  'the gateway of west': (by) => by.forge({ uris: [`spiffe://${WEST}/ns/isthmus-system/sa/isthmus-east-west`] }),
  'an identity outside the mesh': (by) => by.forge({ uris: ['spiffe://north.example/ns/shop/sa/checkout'] }),
  'two identities of east': (by) => by.forge({ uris: [CHECKOUT, `spiffe://${EAST}/ns/shop/sa/load`] }),
  'an identity of east and one of west': (by) => by.forge({ uris: [CHECKOUT, `spiffe://${WEST}/ns/shop/sa/checkout`] }),
  'no path': (by) => by.forge({ uris: [`spiffe://${EAST}`] }),
  'west before an @': (by) => by.forge({ uris: [`spiffe://${WEST}@${EAST}/ns/shop/sa/checkout`] }),
  'a port': (by) => by.forge({ uris: [`spiffe://${EAST}:443/ns/shop/sa/checkout`] }),
  'dots in the path': (by) => by.forge({ uris: [`spiffe://${EAST}/ns/shop/../shop/sa/checkout`] }),
  'a query': (by) => by.forge({ uris: [`spiffe://${EAST}/ns/shop/sa/checkout?x`] }),
  'upper case': (by) => by.forge({ uris: [`spiffe://EAST.${MESH}/ns/shop/sa/checkout`] }),
  'a DNS name of west': (by) => by.forge({ dns: [`checkout.${WEST}`] }),
  'a DNS name of west beside the identity': (by) => by.forge({ uris: [CHECKOUT], dns: [`checkout.${WEST}`] }),
  'an IP address beside the identity': (by) => by.forge({ uris: [CHECKOUT], ips: [[10, 0, 0, 1]] }),
  'a common name alone': (by) => by.forge({ commonName: `spiffe://${WEST}/ns/shop/sa/checkout` }),
  'the rights of a CA': (by) => by.forge({ uris: [CHECKOUT], isCa: true }),
  'an end in the past': (by) =>
    by.forge({
      uris: [CHECKOUT],
      notBeforeMs: Date.now() - 2 * DAY_MS,
      notAfterMs: Date.now() - DAY_MS,
    }),
  'a beginning in the future': (by) => by.forge({ uris: [CHECKOUT], notBeforeMs: Date.now() + 3_600_000 }),
  'an unknown CA behind it': () => stranger(),
  'an unknown CA’s leaf before the intermediate of east': (by) => ({
    keyPem: stranger().keyPem,
    chain: [stranger().chain[0] ?? '', by.authority.certificatePem],
  }),
}

/** A whole mesh of the same names, made by someone else. */
const strangers = testMesh({ clusters: ['east', 'west'], mesh: MESH })
const strangerLeaf = strangers
  .cluster('east')
  .workload({ trustDomain: EAST, namespace: 'shop', serviceAccount: 'load' })
const stranger = (): TestCredential => strangerLeaf

const proper = (): TestCredential =>
  thief.workload({ trustDomain: EAST, namespace: 'shop', serviceAccount: 'checkout' })
const federationOf = (trustDomain: string): TestCredential =>
  thief.workload({ trustDomain, namespace: SYSTEM_NAMESPACE, serviceAccount: SYSTEM_ACCOUNTS.federation })

/** HTTP/2 preface, and a request that any of the ports would have to answer. */
const REQUEST = Buffer.concat([
  HELLO,
  frame(
    1,
    5,
    1,
    block(':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'inventory.shop.svc.clusterset.local'),
  ),
])

const inner = (service: string, domain: string): string => innerSni({ service, namespace: 'shop', domain, port: 80 })

/** The ports of west that ask for a certificate of the mesh, by what they are. */
const TARGETS: Readonly<Record<string, () => Call>> = {
  'the sidecar, cluster set name': () => atSidecar('inventory', 'clusterset.local'),
  'the sidecar, local name': () => atSidecar('inventory', 'cluster.local'),
  'the gateway': () => ({ host: gateway.west, port: PORTS.eastWest, serverName: gatewaySni('west', MESH), alpn: 'h2' }),
  'the peer stream behind the gateway': () => ({
    host: gateway.west,
    port: PORTS.eastWest,
    serverName: federationSni('west', MESH),
    alpn: 'h2',
  }),
}

const atSidecar = (service: string, domain: string): Call => ({
  host: sidecar,
  port: PORTS.inboundMesh,
  serverName: inner(service, domain),
  alpn: 'h2',
})

const CLIENTS = {
  'node:tls': { dial, missing: false },
  'openssl s_client': { dial: dialOpenssl, missing: !hasOpenssl },
}

const refused = { bytes: 0, closed: true }
const seen = ({ received, closed }: Answer): { bytes: number; closed: boolean } => ({ bytes: received.length, closed })
const isSettings = (received: Buffer): boolean => received.length >= 9 && received[3] === 4

describe.each(Object.entries(CLIENTS))('%s', (name, { dial: dialWith, missing }) => {
  const suite = missing ? describe.skip : describe
  suite(missing ? `(skipped: there is no ${name} on this machine)` : 'with the CA key of east', () => {
    it.each(Object.keys(TARGETS))('a certificate of east that east may issue is served by %s', async (target) => {
      const credential = target.startsWith('the peer stream') ? federationOf(EAST) : proper()
      const call = { ...TARGETS[target]?.(), credential, send: REQUEST } as Call
      // The local name is for the cluster's own callers, unless the service is exported.
      const { received } = await dialWith(call, { until: isSettings })
      expect(isSettings(received)).toBe(true)
    })

    it.each(Object.keys(FORGERIES))('a certificate with %s opens nothing', async (forgery) => {
      const credential = FORGERIES[forgery]?.(thief)
      const answers = Object.entries(TARGETS).map(async ([target, call]) => {
        const answer = await dialWith({ ...call(), send: REQUEST, ...(credential === undefined ? {} : { credential }) })
        return [target, seen(answer)] as const
      })
      const expected = Object.keys(TARGETS).map((target) => [target, refused])
      expect(await Promise.all(answers)).toEqual(expected)
    })
  })
})

describe('strangers', () => {
  /** Every port of the mesh that speaks TLS; the gateway once per name. */
  const PORTS_OF_THE_MESH: Readonly<Record<string, () => Call>> = {
    ...TARGETS,
    '15443 join': () => ({
      host: gateway.east,
      port: PORTS.eastWest,
      serverName: joinSni('east', MESH),
      alpn: 'isthmus-join',
    }),
    '15022': () => ({
      host: federation,
      port: PORTS.federationPeer,
      serverName: federationSni('east', MESH),
      alpn: 'h2',
    }),
    '15023': () => ({
      host: federation,
      port: PORTS.federationJoin,
      serverName: joinSni('east', MESH),
      alpn: 'isthmus-join',
    }),
  }

  it.each(Object.keys(PORTS_OF_THE_MESH))('%s: an unknown CA’s client certificate gets no byte', async (target) => {
    const call = PORTS_OF_THE_MESH[target]?.() as Call
    // Joins are for strangers, who speak first: this one says nothing.
    const send = target.includes('join') || target === '15023' ? {} : { send: REQUEST }
    expect(seen(await dial({ ...call, ...send, credential: stranger() }))).toEqual(refused)
  })

  it.each(Object.keys(PORTS_OF_THE_MESH))('%s: no certificate, no byte', async (target) => {
    const call = PORTS_OF_THE_MESH[target]?.() as Call
    const send = target.includes('join') || target === '15023' ? {} : { send: REQUEST }
    expect(seen(await dial({ ...call, ...send }))).toEqual(refused)
  })

  it('15012 answers neither stream nor certificate request without a token of the cluster', async () => {
    const serverName = `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}.svc.cluster.local`
    const socket = connectTls({
      host: controlPlane,
      port: PORTS.xds,
      servername: serverName,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: stranger().keyPem,
      cert: stranger().chain.join(''),
    })
    const session = connectHttp2(`https://${serverName}`, { createConnection: () => socket })
    const ads = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources'
    for (const path of [CREATE_CERTIFICATE_PATH, ads]) {
      for (const headers of [{}, { authorization: 'Bearer not.a.token' }]) {
        const answer = await request(session, {
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
          ...headers,
        })
        expect(answer).toMatchObject({ grpcStatus: GRPC_UNAUTHENTICATED, bodyBytes: 0 })
      }
    }
    session.destroy()
  })

  it.each([...Object.keys(PORTS_OF_THE_MESH), '15012'])('%s: plaintext gets nothing', async (target) => {
    const call = target === '15012' ? { host: controlPlane, port: PORTS.xds } : PORTS_OF_THE_MESH[target]?.()
    for (const send of ['GET / HTTP/1.1\r\nHost: inventory.shop.svc.cluster.local\r\n\r\n', HELLO]) {
      const { received } = await dialPlain({ ...(call as Call), send: Buffer.from(send) })
      // A TLS alert record at most.
      if (received.length > 0) expect(received[0]).toBe(0x15)
      expect(received.length).toBeLessThanOrEqual(7)
    }
  })

  it('names that no one has are told apart by nothing', async () => {
    for (const serverName of [
      gatewaySni('north', MESH),
      gatewaySni('west', 'other.mesh'),
      inner('inventory', 'cluster.local'),
      WEST,
    ]) {
      const call = { host: gateway.west, port: PORTS.eastWest, serverName, alpn: 'h2', credential: proper() }
      expect(seen(await dial({ ...call, send: REQUEST })), serverName).toEqual(refused)
    }
    const unnamed = { host: gateway.west, port: PORTS.eastWest, alpn: 'h2', credential: proper(), send: REQUEST }
    expect(seen(await dial(unnamed))).toEqual(refused)
  })

  it('a workload of a peer cannot open the peer stream', async () => {
    const call = { ...(TARGETS['the peer stream behind the gateway']?.() as Call), send: REQUEST }
    expect(seen(await dial({ ...call, credential: proper() }))).toEqual(refused)
  })
})

describe('what is not exported', () => {
  it('is refused by the destination itself, whatever the gateway did', async () => {
    // ledger stands before the very pods of inventory, which is exported.
    for (const domain of ['cluster.local', 'clusterset.local']) {
      const call = { ...atSidecar('ledger', domain), credential: proper(), send: REQUEST }
      expect(seen(await dial(call)), domain).toEqual(refused)
    }
  })

  it('does not exist for a caller at the gateway: 404, no body, nothing sent on', async () => {
    const log = mesh.cluster('west').follow(await gatewayPod('west'), 'east-west')
    const recordOf = async (authority: string): Promise<unknown> =>
      JSON.parse(await log.next((line) => line.includes(`"authority":"${authority}"`)))
    const nothingSent = { upstream: '-', bytesReceived: 0, bytesSent: 0 }
    const outer = await outerSession()
    for (const authority of [
      'ledger.shop.svc.clusterset.local:80',
      'nothing.shop.svc.clusterset.local:80',
      'inventory.shop.svc.clusterset.local:81',
      'isthmus-control-plane.isthmus-system.svc.clusterset.local:15012',
    ]) {
      const answer = await request(outer, { ':method': 'CONNECT', ':authority': authority, 'isthmus-version': '1' })
      expect(answer, authority).toMatchObject({ status: 404, error: 'TUNNEL_UNKNOWN', bodyBytes: 0 })
      expect(await recordOf(authority)).toMatchObject({ status: 404, caller: CHECKOUT, ...nothingSent })
    }
    for (const authority of ['ledger.shop.svc.cluster.local:80', `${sidecar}:8080`]) {
      const answer = await request(outer, { ':method': 'CONNECT', ':authority': authority, 'isthmus-version': '1' })
      expect(answer, authority).toMatchObject({ status: 400, error: 'TUNNEL_MALFORMED', bodyBytes: 0 })
    }
    outer.destroy()
  })

  it('is not opened by a tunnel to something that is exported', async () => {
    const outer = await outerSession()
    const credential = proper()
    const tunnel = outer.request({
      ':method': 'CONNECT',
      ':authority': 'inventory.shop.svc.clusterset.local:80',
      'isthmus-version': '1',
    })
    const status = await new Promise((resolve) => tunnel.on('response', (headers) => resolve(headers[':status'])))
    expect(status).toBe(200)
    const socket = connectTls({
      socket: tunnel,
      servername: inner('ledger', 'clusterset.local'),
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      key: credential.keyPem,
      cert: credential.chain.join(''),
    })
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.on('error', resolve))
    expect(error.code).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
    outer.destroy()
  })

  it('to a cluster is refused to that cluster, at once and at both places', async () => {
    const { client } = mesh.cluster('west')
    const target = { name: 'inventory', namespace: 'shop' }
    const outer = await outerSession()
    await client.patch(
      SERVICE_EXPORTS,
      target,
      { metadata: { annotations: { 'isthmus.dev/export-to': 'north' } } },
      { type: 'merge' },
    )
    const connect = {
      ':method': 'CONNECT',
      ':authority': 'inventory.shop.svc.clusterset.local:80',
      'isthmus-version': '1',
    }
    await eventually(async () => (await request(outer, connect)).status === 404)
    outer.destroy()
    const call = { ...atSidecar('inventory', 'clusterset.local'), credential: proper(), send: REQUEST }
    await eventually(async () => (await dial(call, { until: isSettings })).received.length === 0)
  })
})

const gatewayPod = (cluster: string): Promise<Pod> =>
  mesh.cluster(cluster).pod(SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE)

function outerSession(): Promise<ClientHttp2Session> {
  const credential = proper()
  const socket: TLSSocket = connectTls({
    host: gateway.west,
    port: PORTS.eastWest,
    servername: gatewaySni('west', MESH),
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    key: credential.keyPem,
    cert: credential.chain.join(''),
  })
  const session = connectHttp2(`https://${gatewaySni('west', MESH)}`, { createConnection: () => socket })
  return new Promise((resolve, reject) => {
    session.once('error', reject)
    session.once('remoteSettings', () => resolve(session))
  })
}

/** gRPC's frame around a DeltaDiscoveryRequest whose node has an id; the certificate service reads it as some CSR. */
const DISCOVERY_REQUEST = Buffer.from('\0\0\0\0\x06\x0a\x04\x0a\x02me', 'latin1')

interface Response {
  readonly status: unknown
  readonly error: unknown
  readonly grpcStatus: unknown
  readonly bodyBytes: number
}

function request(session: ClientHttp2Session, headers: Record<string, string>): Promise<Response> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: false })
    if (headers[':method'] === 'POST') stream.end(DISCOVERY_REQUEST)
    let found: Record<string, unknown> = {}
    let bodyBytes = 0
    stream.on('response', (answer) => {
      found = { ...answer }
      // A tunnel that opened stays open.
      if (answer[':status'] === 200 && headers[':method'] === 'CONNECT') stream.close()
    })
    stream.on('trailers', (trailers) => (found = { ...found, ...trailers }))
    stream.on('data', (chunk: Buffer) => (bodyBytes += chunk.length))
    stream.on('error', reject)
    stream.on('close', () =>
      resolve({ status: found[':status'], error: found['isthmus-error'], grpcStatus: found['grpc-status'], bodyBytes }),
    )
  })
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await holds())) if (Date.now() > deadline) throw new Error('it did not come about within 10 s')
}
