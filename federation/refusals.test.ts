import { randomBytes } from 'node:crypto'
import * as grpc from '@grpc/grpc-js'
import { connect, createSecureContext, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CLUSTER_PEERS, CONFIG_MAPS, EVENTS, SECRETS } from '../src/kube/kinds.ts'
import { OBJECTS, SYSTEM_NAMESPACE } from '../src/model/names.ts'
import { createCsr } from '../src/pki/csr.ts'
import { createRoot } from '../src/pki/issue.ts'
import { generateKey } from '../src/pki/keys.ts'
import { joinProof, parseJoinToken } from '../src/pki/join-token.ts'
import { testMesh } from '../src/pki/testing/mesh.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { MeshError } from '../src/runtime/errors.ts'
import { systemRandom } from '../src/runtime/random.ts'
import { decodeMessage, encodeMessage } from './peers/codec.ts'
import { CHANNEL_OPTIONS, STREAM_METHOD } from './peers/grpc-channel.ts'
import { requestJoin } from './peers/join-client.ts'
import type { JoinGrant } from './peers/join-frame.ts'
import { JOIN_ERROR_ANNOTATION } from './peers/joiner.ts'
import type { PeerMessage } from './peers/message.ts'
import { ACCEPT_ANNOTATION } from './peers/status.ts'
import { GatewayResolver } from './peers/resolver.ts'
import { World, type Cluster } from './testing/world.ts'

let world: World
let east: Cluster
beforeEach(async () => {
  world = new World()
  east = await world.cluster('east', { signer: true })
  await eventually(() => expect(east.term?.ports).toBeDefined())
})
afterEach(() => world.close())

const eventually = (check: () => Promise<void> | void): Promise<void> =>
  vi.waitFor(check, { timeout: 8_000, interval: 25 })

/** What a program that holds the token's text can ask for. */
async function attempt(
  text: string,
  changes: { csrPem?: string; gateways?: string[]; secret?: string } = {},
): Promise<JoinGrant> {
  const token = parseJoinToken(text)
  return requestJoin({
    token: { ...token, secret: changes.secret ?? token.secret },
    csrPem: changes.csrPem ?? request(token.cluster),
    gateways: changes.gateways ?? ['127.0.0.1:15443'],
    resolver: new GatewayResolver(undefined, systemRandom),
    clock: systemClock,
  })
}

const request = (cluster: string): string =>
  createCsr(generateKey().privateKey, { uri: `spiffe://${cluster}.demo.mesh` })

async function codeOf(run: Promise<unknown>): Promise<string> {
  try {
    await run
    return 'accepted'
  } catch (error) {
    return error instanceof MeshError ? error.code : String(error)
  }
}

async function auditReasons(): Promise<readonly (string | undefined)[]> {
  return (await east.client.list(EVENTS)).items.map(({ reason }) => reason)
}

describe('join', () => {
  it('gives one certificate to one key: a retry gets the same, a second key is told the token is used', async () => {
    const text = await east.token('west')
    const csrPem = request('west')
    const first = await attempt(text, { csrPem })
    const again = await attempt(text, { csrPem })
    expect(again.intermediatePem).toBe(first.intermediatePem)
    expect(await codeOf(attempt(text))).toBe('JOIN_TOKEN_USED')
    await eventually(async () => expect(await auditReasons()).toContain('JOIN_TOKEN_USED'))
  })

  it('is refused by name for each thing that may be wrong with a token', async () => {
    const text = await east.token('west')
    expect(await codeOf(attempt(text, { secret: randomBytes(32).toString('base64url') }))).toBe('JOIN_PROOF_WRONG')
    expect(await codeOf(attempt(text, { csrPem: request('europe') }))).toBe('JOIN_OTHER_CLUSTER')
    expect(await codeOf(attempt(await east.token('west', { ttlMs: -1 })))).toBe('JOIN_TOKEN_EXPIRED')
    expect(await codeOf(attempt(await east.token('west', { keySha256: 'a'.repeat(64) })))).toBe('JOIN_OTHER_KEY')
    expect(await codeOf(attempt(await east.token('east')))).toBe('JOIN_NAME_IN_USE')
    expect(await codeOf(attempt(text, { csrPem: 'no csr' }))).toBe('JOIN_MALFORMED')
    await attempt(text)
    expect(await codeOf(attempt(await east.token('west')))).toBe('JOIN_NAME_IN_USE')
    await east.client.remove(SECRETS, { name: OBJECTS.joinTokens, namespace: SYSTEM_NAMESPACE })
    expect(await codeOf(attempt(text))).toBe('JOIN_TOKEN_UNKNOWN')
  })

  it('is decided once when two keys race with the same token', async () => {
    const text = await east.token('west')
    const codes = await Promise.all(Array.from({ length: 4 }, () => codeOf(attempt(text))))
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(1)
    expect(new Set(codes.filter((code) => code !== 'accepted'))).toEqual(new Set(['JOIN_TOKEN_USED']))
  })

  it('sends nothing to an issuer that does not show the pinned root', async () => {
    const text = await east.token('west')
    const token = parseJoinToken(text)
    const pinned = { ...token, rootSha256: 'b'.repeat(64) }
    const base = { csrPem: request('west'), gateways: [], clock: systemClock }
    const resolver = new GatewayResolver(undefined, systemRandom)
    expect(await codeOf(requestJoin({ ...base, token: pinned, resolver }))).toBe('JOIN_ROOT_MISMATCH')
    const secret = await east.client.get(SECRETS, OBJECTS.joinTokens, SYSTEM_NAMESPACE)
    expect(Buffer.from(secret?.data?.[token.id] ?? '', 'base64').toString()).not.toContain('redeemed')
  })

  it('proves the token for one TLS session only', () => {
    const claim = { mesh: 'demo.mesh', cluster: 'west', csrDer: Buffer.from('csr'), gateways: [] }
    const secret = randomBytes(32).toString('base64url')
    const [one, other] = [randomBytes(32), randomBytes(32)].map((exporter) => joinProof(secret, { ...claim, exporter }))
    expect(one?.equals(other ?? Buffer.alloc(0))).toBe(false)
  })

  it('shows a refusal on the Secret and tries again only with another token', async () => {
    const west = await world.cluster('west')
    await west.join(await east.token('europe'))
    const joinError = async (): Promise<string | undefined> =>
      (await west.client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE))?.metadata.annotations?.[JOIN_ERROR_ANNOTATION]
    await eventually(async () => expect(await joinError()).toMatch(/^JOIN_OTHER_CLUSTER: /))
    const token = Buffer.from(await east.token('west')).toString('base64')
    const target = { name: OBJECTS.join, namespace: SYSTEM_NAMESPACE }
    await west.client.patch(SECRETS, target, { data: { token } }, { type: 'merge' })
    await eventually(async () => expect(await west.client.get(CLUSTER_PEERS, 'east')).toBeDefined())
  })

  it('leaves a signer and a member of another root alone', async () => {
    const west = await world.cluster('west')
    await west.client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE },
      data: {
        'intermediate.pem': '',
        'bundle.json': JSON.stringify({
          'west.demo.mesh': [createRoot({ mesh: 'demo.mesh', nowMs: systemClock.now() }).certificatePem],
        }),
      },
    })
    await west.join(await east.token('west'))
    await eventually(async () => {
      const secret = await west.client.get(SECRETS, OBJECTS.join, SYSTEM_NAMESPACE)
      expect(secret?.metadata.annotations?.[JOIN_ERROR_ANNOTATION]).toMatch(/^ROOT_EXISTS: /)
    })
  })
})

describe('peer stream', () => {
  let west: Cluster
  beforeEach(async () => {
    west = await world.cluster('west')
    await west.join(await east.token('west'))
    await eventually(() => expect(west.term?.ports).toBeDefined())
  })

  const refused = (): number => east.term?.links.refusedStreams ?? 0

  it('is refused to a workload, a gateway, a stranger and a foreign CA, with not one byte', async () => {
    const stranger = testMesh({ clusters: ['west'] }).cluster('west')
    const foreign = stranger.workload({
      trustDomain: 'west.demo.mesh',
      namespace: SYSTEM_NAMESPACE,
      serviceAccount: 'isthmus-federation',
    })
    const shown: readonly ({ key: string; cert: string } | undefined)[] = [
      await west.certificateFor('shop', 'inventory'),
      await west.certificateFor('shop', 'isthmus-federation'),
      await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-east-west'),
      await east.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation'),
      { key: foreign.keyPem, cert: foreign.chain.join('') },
      undefined,
    ]
    for (const credential of shown) expect(await bytesFrom(credential)).toBe(0)
    expect(refused()).toBe(4) // the last two fail in the handshake itself
  })

  it('knows a peer by its certificate, whatever its Hello says', async () => {
    const before = east.term?.links.stampedNames ?? 0
    const answers = await speak(await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation'), [
      hello({ cluster: 'europe', epoch: 99 }),
      snapshot('west.demo.mesh'),
    ])
    expect(east.term?.links.stampedNames).toBe(before + 1)
    expect(answers.find(({ kind }) => kind === 'ack')).toMatchObject({ rejected: [] })
    expect(east.term?.links.exports().map(({ cluster, name }) => `${cluster}/${name}`)).toEqual(['west/catalog'])
  })

  it('refuses a service that names an identity of another cluster, and that one alone', async () => {
    const answers = await speak(await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation'), [
      hello({ cluster: 'west', epoch: 99 }),
      snapshot('east.demo.mesh', 'west.demo.mesh'),
    ])
    const ack = answers.find(({ kind }) => kind === 'ack')
    expect(ack).toMatchObject({ rejected: [{ name: 'catalog', code: 'EXPORT_FOREIGN_IDENTITY' }] })
    expect(east.term?.links.exports().map(({ name }) => name)).toEqual(['catalog1'])
  })

  it('refuses a former leader, an unknown version and garbage', async () => {
    await eventually(() => expect(east.term?.links.facts('west')?.sync.state).toBe('Connected'))
    const credential = await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation')
    expect(await endOf(credential, hello({ cluster: 'west', epoch: 0 }))).toMatch(/PEER_EPOCH/)
    const future: PeerMessage = {
      kind: 'hello',
      hello: {
        versionMin: 2,
        versionMax: 3,
        cluster: 'west',
        epoch: 99,
        features: [],
        gateways: [],
        members: undefined,
      },
    }
    expect(await endOf(credential, future)).toMatch(/PEER_VERSION/)
    expect(await endOf(credential, Buffer.from('garbage'))).toMatch(/PEER_PROTOCOL/)
    expect(await endOf(credential, snapshot('west.demo.mesh'))).toMatch(/PEER_PROTOCOL/)
  })

  it('holds what an empty snapshot omits, shows it, and lets go when an operator accepts', async () => {
    const credential = await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation')
    await speak(credential, [hello({ cluster: 'west', epoch: 99 }), snapshot('west.demo.mesh')])
    const answers = await speak(credential, [hello({ cluster: 'west', epoch: 99 }), snapshot()])
    expect(answers.find(({ kind }) => kind === 'ack')).toMatchObject({ held: true })
    const condition = async (): Promise<unknown> =>
      (await east.client.get(CLUSTER_PEERS, 'west'))?.status?.conditions?.find(({ type }) => type === 'SnapshotHeld')
    await eventually(async () => expect(await condition()).toMatchObject({ status: 'True', reason: 'Omitted' }))
    expect(east.term?.links.exports()).toHaveLength(1)
    const annotations = { [ACCEPT_ANNOTATION]: '1' }
    await east.client.patch(CLUSTER_PEERS, { name: 'west' }, { metadata: { annotations } }, { type: 'merge' })
    await eventually(async () => expect(await condition()).toMatchObject({ status: 'False' }))
    expect(east.term?.links.exports()).toEqual([])
  })

  it('does not believe a member about a third cluster', async () => {
    const third = { cluster: 'evil', trustDomain: 'evil.demo.mesh', gateways: ['127.0.0.1:1'], signer: true }
    const members = { members: [third], removed: ['west', 'east'] }
    await speak(await west.certificateFor(SYSTEM_NAMESPACE, 'isthmus-federation'), [
      hello({ cluster: 'west', epoch: 99 }),
      { kind: 'members', members },
      snapshot('west.demo.mesh'),
    ])
    expect((await east.client.list(CLUSTER_PEERS)).items.map(({ metadata }) => metadata.name)).toEqual(['west'])
  })

  function hello(said: { cluster: string; epoch: number }): PeerMessage {
    return {
      kind: 'hello',
      hello: { versionMin: 1, versionMax: 1, features: [], gateways: [], members: undefined, ...said },
    }
  }

  /** One service per trust domain, whose one identity is of that trust domain. */
  function snapshot(...trustDomains: readonly string[]): PeerMessage {
    const services = trustDomains.map((trustDomain, index) => ({
      namespace: 'shop',
      name: `catalog${index === 0 ? '' : index}`,
      uid: 'u',
      createdAt: '2026-01-01T00:00:00Z',
      type: 'ClusterSetIP' as const,
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      identities: [`spiffe://${trustDomain}/ns/shop/sa/catalog`],
      zones: [],
      properties: {
        sessionAffinity: 'None' as const,
        sessionAffinityTimeoutSeconds: 0,
        internalTrafficPolicy: '',
        trafficDistribution: '',
        labels: {},
        annotations: {},
      },
    }))
    return { kind: 'snapshot', version: 1, services, withdrawals: [], last: true }
  }

  function dial(credential: { key: string; cert: string }): {
    call: grpc.ClientDuplexStream<Buffer, Buffer>
    close: () => void
  } {
    const context = createSecureContext({ ...credential, ca: [...east.material.roots()], minVersion: 'TLSv1.3' })
    const credentials = grpc.credentials.createFromSecureContext(context, { checkServerIdentity: () => undefined })
    const client = new grpc.Client(`ipv4:${east.address}`, credentials, {
      ...CHANNEL_OPTIONS,
      'grpc.ssl_target_name_override': 'federation.east.demo.mesh',
      'grpc.use_local_subchannel_pool': 1,
    })
    const { path, requestSerialize, responseDeserialize } = STREAM_METHOD
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new grpc.Metadata())
    return { call, close: () => client.close() }
  }

  /** Everything east answered up to its Ack. */
  async function speak(
    credential: { key: string; cert: string },
    messages: readonly PeerMessage[],
  ): Promise<PeerMessage[]> {
    // The real west must not answer in between.
    await west.term?.stop()
    const { call, close } = dial(credential)
    const answers: PeerMessage[] = []
    await new Promise<void>((resolve, reject) => {
      call.on('error', reject)
      call.on('data', (chunk: Buffer) => {
        const message = decodeMessage(chunk)
        if (message === undefined || message === 'unknown') return
        answers.push(message)
        if (message.kind === 'ack') resolve()
      })
      for (const message of messages) call.write(Buffer.from(encodeMessage(message)))
    })
    call.removeAllListeners('error').on('error', () => {})
    close()
    call.cancel()
    return answers
  }

  function endOf(credential: { key: string; cert: string }, message: PeerMessage | Buffer): Promise<string> {
    const { call, close } = dial(credential)
    call.write(Buffer.isBuffer(message) ? message : Buffer.from(encodeMessage(message)))
    call.on('data', () => {})
    return new Promise((resolve) => {
      call.on('error', (error: grpc.ServiceError) => {
        close()
        resolve(error.details)
      })
    })
  }

  /** Application bytes that east sends to whoever shows this certificate. */
  function bytesFrom(credential: { key: string; cert: string } | undefined): Promise<number> {
    return new Promise((resolve) => {
      let received = 0
      const [host, port] = east.address.split(':')
      const socket: TLSSocket = connect({
        host: host ?? '',
        port: Number(port),
        servername: 'federation.east.demo.mesh',
        ALPNProtocols: ['h2'],
        ca: [...east.material.roots()],
        checkServerIdentity: () => undefined,
        ...credential,
      })
      socket.on('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0'))
      socket.on('data', (chunk) => {
        received += chunk.length
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(received))
    })
  }
})
