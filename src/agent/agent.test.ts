/** The agent's socket from the other side: secrets by both protocols, the Workload API, discovery, and hostile clients. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  Client,
  credentials,
  type ClientDuplexStream,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { assert, asyncProperty, boolean, uint8Array } from 'fast-check'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ProxyConfig } from '../model/config.ts'
import { testMesh } from '../pki/testing/mesh.ts'
import { systemClock } from '../runtime/clock.ts'
import { seededRandom } from '../runtime/random.ts'
import { TYPE_URLS } from '../xds/resources.ts'
import { createAdsServer } from '../xds/server.ts'
import { DELTA_SERVER, SECRET_METHODS } from '../xds/service.ts'
import { configOf } from '../xds/testing/configs.ts'
import { type Agent, startAgent } from './agent.ts'
import { FILES } from './files.ts'
import type { HeldCertificate } from './secrets.ts'
import { SOCKET } from './socket.ts'
import { FETCH_X509_BUNDLES, FETCH_X509_SVID } from './workload-messages.ts'

const mesh = testMesh({ clusters: ['east', 'west'] })
const id = { trustDomain: 'east.demo.mesh', namespace: 'shop', serviceAccount: 'checkout' }
const certificate = (): HeldCertificate => {
  const { keyPem, chain } = mesh.cluster('east').workload(id)
  return { keyPem, chainPem: chain.join('') }
}
const log = pino({ level: 'silent' })
const PATIENCE = { timeout: 10_000 } as const
const directory = mkdtempSync(join(tmpdir(), 'agent-'))
const socket = join(directory, SOCKET)
const asItIs = (bytes: Uint8Array): Buffer => Buffer.from(bytes)

/** What the control plane says; roots by trust domain. */
function configWith(domains: readonly string[]): ProxyConfig {
  const roots = Object.fromEntries(domains.map((name) => [name, [mesh.root.certificatePem]]))
  const bundle = { name: 'ROOTCA', roots, revokedTrustDomains: [], revokedIssuers: [] }
  return { ...configOf({ a: [] }), secrets: new Map([['ROOTCA', bundle]]) }
}

let agent: Agent
let current: HeldCertificate
let renew: (certificate: HeldCertificate) => void = () => {}
const plane = new Server()
const shown = { config: configWith(['east.demo.mesh', 'west.demo.mesh']), version: '1', nodes: [] as string[] }
const ads = createAdsServer<true>({
  authenticate: (_metadata, { id: node }) => {
    shown.nodes.push(node)
    return Promise.resolve({ ok: true, client: true })
  },
  configFor: () => ({ config: shown.config, version: shown.version }),
  clock: systemClock,
  log,
  coalesceMs: 1,
})
let client: Client

beforeAll(async () => {
  ads.register(plane)
  const port = await new Promise<number>((resolve, reject) => {
    plane.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  current = certificate()
  agent = await startAgent({
    id,
    identity: {
      current: () => current,
      onChange: (listener) => {
        renew = listener
        return () => {}
      },
    },
    server: { address: `127.0.0.1:${port}`, open: { tls: undefined, authority: '' } },
    node: { id: 'agent', cluster: 'east', metadata: { ROLE: 'agent' } },
    directory,
    clock: systemClock,
    random: seededRandom(1),
    log,
  })
  await vi.waitFor(() => expect(agent.awaited()).toEqual([]), PATIENCE)
})
afterAll(() => {
  agent.close()
  ads.close()
  plane.forceShutdown()
  rmSync(directory, { recursive: true })
})
beforeEach(() => {
  client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
})
afterEach(() => client.close())

/** Answers of a stream, one after the other. */
class Answers<T> {
  readonly #waiting: ((answer: T) => void)[] = []
  readonly #come: T[] = []

  constructor(stream: ClientDuplexStream<Uint8Array, T>) {
    stream.on('data', (answer: T) => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#come.push(answer)
      else next(answer)
    })
    stream.on('error', () => {})
  }

  next(): Promise<T> {
    const answer = this.#come.shift()
    return answer === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(answer)
  }
}

const chainIn = (bytes: Uint8Array | undefined): string => {
  const { type } = fromBinary(SecretSchema, bytes ?? new Uint8Array())
  if (type.case !== 'tlsCertificate') throw new Error('no certificate')
  const chain = type.value.certificateChain?.specifier
  return chain?.case === 'inlineString' ? chain.value : ''
}

describe('secrets', () => {
  it('come by delta, and again when they change', async () => {
    const stream = client.makeBidiStreamRequest(SECRET_METHODS.delta.path, asItIs, (bytes) =>
      fromBinary(DeltaDiscoveryResponseSchema, bytes),
    )
    const answers = new Answers<DeltaDiscoveryResponse>(stream)
    const say = (fields: object): boolean =>
      stream.write(
        toBinary(
          DeltaDiscoveryRequestSchema,
          create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.secret, ...fields }),
        ),
      )
    say({ node: { id: 'envoy' }, resourceNamesSubscribe: ['default', 'ROOTCA', 'other'] })
    const first = await answers.next()
    expect(first.resources.map(({ name }) => name)).toEqual(['default', 'ROOTCA'])
    expect(first.removedResources).toEqual(['other'])
    expect(chainIn(first.resources[0]?.resource?.value)).toBe(current.chainPem)
    say({ responseNonce: first.nonce })
    current = certificate()
    renew(current)
    const second = await answers.next()
    // The bundle is as it was.
    expect(second.resources.map(({ name }) => name)).toEqual(['default'])
    expect(chainIn(second.resources[0]?.resource?.value)).toBe(current.chainPem)
    stream.cancel()
  })

  it('come by state of the world', async () => {
    const stream = client.makeBidiStreamRequest(SECRET_METHODS.stateOfTheWorld.path, asItIs, (bytes) =>
      fromBinary(DiscoveryResponseSchema, bytes),
    )
    const answers = new Answers<DiscoveryResponse>(stream)
    const say = (fields: object): boolean =>
      stream.write(
        toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl: TYPE_URLS.secret, ...fields })),
      )
    say({ node: { id: 'envoy' }, resourceNames: ['default'] })
    const first = await answers.next()
    expect(first.resources).toHaveLength(1)
    expect(chainIn(first.resources[0]?.value)).toBe(current.chainPem)
    say({ resourceNames: ['default'], responseNonce: first.nonce, versionInfo: first.versionInfo })
    current = certificate()
    renew(current)
    expect(chainIn((await answers.next()).resources[0]?.value)).toBe(current.chainPem)
    stream.cancel()
  })

  it('are the only thing that the secret service has', async () => {
    const stream = client.makeBidiStreamRequest(SECRET_METHODS.delta.path, asItIs, (bytes) =>
      fromBinary(DeltaDiscoveryResponseSchema, bytes),
    )
    const answers = new Answers<DeltaDiscoveryResponse>(stream)
    const asked = create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.cluster, node: { id: 'envoy' } })
    stream.write(toBinary(DeltaDiscoveryRequestSchema, asked))
    expect((await answers.next()).resources).toEqual([])
    stream.cancel()
  })
})

describe('discovery', () => {
  it('is the control plane’s, byte by byte', async () => {
    const stream = client.makeBidiStreamRequest(DELTA_SERVER.path, asItIs, (bytes) =>
      fromBinary(DeltaDiscoveryResponseSchema, bytes),
    )
    const answers = new Answers<DeltaDiscoveryResponse>(stream)
    const asked = create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.cluster, node: { id: 'some envoy' } })
    stream.write(toBinary(DeltaDiscoveryRequestSchema, asked))
    expect((await answers.next()).resources.map(({ name }) => name)).toEqual(['a'])
    expect(shown.nodes).toContain('some envoy')
    stream.cancel()
  })

  it('is held to a few streams', async () => {
    const streams = Array.from({ length: 20 }, () => client.makeBidiStreamRequest(DELTA_SERVER.path, asItIs, asItIs))
    const codes = streams.map(
      (stream) =>
        new Promise<number>((resolve) =>
          stream.on('error', (error) => resolve((error as unknown as { code: number }).code)),
        ),
    )
    for (const stream of streams) {
      const asked = create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.cluster, node: { id: 'x' } })
      stream.write(toBinary(DeltaDiscoveryRequestSchema, asked))
    }
    expect(await Promise.race(codes)).toBe(status.RESOURCE_EXHAUSTED)
    for (const stream of streams) stream.cancel()
  })
})

describe('the Workload API', () => {
  const said = (): Metadata => {
    const metadata = new Metadata()
    metadata.set('workload.spiffe.io', 'true')
    return metadata
  }

  /** The first answer, or the status. */
  function fetch(path: string, metadata: Metadata): Promise<Buffer | number> {
    return new Promise((resolve) => {
      const stream = client.makeServerStreamRequest(path, asItIs, asItIs, Buffer.alloc(0), metadata)
      stream.on('data', (bytes: Buffer) => {
        resolve(bytes)
        stream.cancel()
      })
      stream.on('error', (error) => resolve((error as unknown as { code: number }).code))
    })
  }

  /** Fields of a message, by number. */
  function fieldsOf(bytes: Uint8Array): Map<number, Uint8Array[]> {
    const reader = new BinaryReader(bytes)
    const found = new Map<number, Uint8Array[]>()
    while (reader.pos < reader.len) {
      const [field] = reader.tag()
      found.set(field, [...(found.get(field) ?? []), reader.bytes()])
    }
    return found
  }

  it('gives the pod its certificate, key and bundles', async () => {
    const answer = await fetch(FETCH_X509_SVID, said())
    if (typeof answer === 'number') throw new Error(`status ${answer}`)
    const response = fieldsOf(answer)
    const svid = fieldsOf(response.get(1)?.[0] ?? Buffer.alloc(0))
    const bytes = (field: number): Buffer => Buffer.from(svid.get(field)?.[0] ?? [])
    expect(bytes(1).toString()).toBe('spiffe://east.demo.mesh/ns/shop/sa/checkout')
    const leaf = new X509Certificate(bytes(2))
    const key = createPrivateKey({ key: bytes(3), format: 'der', type: 'pkcs8' })
    expect(leaf.checkPrivateKey(key)).toBe(true)
    expect(new X509Certificate(bytes(4)).raw.equals(new X509Certificate(mesh.root.certificatePem).raw)).toBe(true)
    const federated = (response.get(3) ?? []).map((entry) => Buffer.from(fieldsOf(entry).get(1)?.[0] ?? []).toString())
    expect(federated).toEqual(['spiffe://west.demo.mesh'])
  })

  it('gives bundles by trust domain', async () => {
    const answer = await fetch(FETCH_X509_BUNDLES, said())
    if (typeof answer === 'number') throw new Error(`status ${answer}`)
    const entries = fieldsOf(answer).get(2) ?? []
    expect(entries.map((entry) => Buffer.from(fieldsOf(entry).get(1)?.[0] ?? []).toString())).toEqual([
      'spiffe://east.demo.mesh',
      'spiffe://west.demo.mesh',
    ])
  })

  it('answers nobody who was talked into asking', async () => {
    expect(await fetch(FETCH_X509_SVID, new Metadata())).toBe(status.INVALID_ARGUMENT)
    const wrong = new Metadata()
    wrong.set('workload.spiffe.io', 'TRUE')
    expect(await fetch(FETCH_X509_SVID, wrong)).toBe(status.INVALID_ARGUMENT)
  })

  it('has no JWT', async () => {
    expect(await fetch('/SpiffeWorkloadAPI/FetchJWTBundles', said())).toBe(status.UNIMPLEMENTED)
  })
})

describe('the socket and the files', () => {
  it('are their owner’s alone', async () => {
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    await expect.poll(() => readFileSync(join(directory, FILES.chain), 'utf8'), PATIENCE).toBe(current.chainPem)
    for (const name of Object.values(FILES)) expect(statSync(join(directory, name)).mode & 0o777, name).toBe(0o600)
    expect(readFileSync(join(directory, FILES.roots), 'utf8')).toBe(mesh.root.certificatePem)
  })

  it('live through bytes that are no HTTP/2, and requests that are no protobuf', async () => {
    await assert(
      asyncProperty(uint8Array({ maxLength: 200 }), boolean(), async (bytes, isFramed) => {
        if (!isFramed) {
          const raw = connect(socket)
          raw.on('error', () => {})
          raw.end(bytes, () => raw.destroy())
          await new Promise((resolve) => raw.once('close', resolve))
          return
        }
        for (const path of [SECRET_METHODS.delta.path, SECRET_METHODS.stateOfTheWorld.path]) {
          const stream = client.makeBidiStreamRequest(path, asItIs, asItIs)
          const ended = new Promise((resolve) => {
            stream.on('error', resolve)
            stream.on('end', resolve)
          })
          stream.write(bytes)
          stream.end()
          stream.resume()
          await ended
        }
      }),
      { numRuns: 40 },
    )
    expect(agent.awaited()).toEqual([])
  })
})

describe('the bundle', () => {
  it('follows the control plane, and refuses what it cannot read', async () => {
    shown.config = configWith(['east.demo.mesh'])
    ads.notify()
    await expect.poll(() => Object.keys(agent.secrets.bundle?.roots ?? {}), PATIENCE).toEqual(['east.demo.mesh'])
    const before = agent.secrets.bundle
    const broken = { name: 'ROOTCA', roots: { 'not a domain': ['x'] }, revokedTrustDomains: [], revokedIssuers: [] }
    shown.config = { ...shown.config, secrets: new Map([['ROOTCA', broken]]) }
    ads.notify()
    const nacks = (): unknown[] =>
      ads
        .status()
        .flatMap(({ kinds }) => Object.values(kinds).flatMap(({ nack }) => (nack === undefined ? [] : [nack])))
    await expect.poll(() => nacks().length, PATIENCE).toBe(1)
    expect(agent.secrets.bundle).toBe(before)
  })
})
