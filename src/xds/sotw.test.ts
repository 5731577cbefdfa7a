/** A proxy's client against a server that speaks state of the world only, written for these tests over bare gRPC. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Any, anyPack } from '@bufbuild/protobuf/wkt'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { afterEach, describe, expect, it } from 'vitest'
import { Cluster_DiscoveryType as DiscoveryType, ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { ApiVersion } from '#gen/envoy/config/core/v3/config_source_pb.js'
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import type { ProxyConfig } from '../model/config.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { type AdsClient, createAdsClient } from './client.ts'
import { TYPE_URLS } from './resources.ts'
import { STATE_OF_THE_WORLD } from './service.ts'
import { configOf } from './testing/configs.ts'

const NO_LISTENERS = { typeUrl: TYPE_URLS.listener, resources: [] }

type Stream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>

/** Keeps what clients say, and says what it is told to. */
class WholeServer {
  readonly requests: DiscoveryRequest[] = []
  readonly #server = new Server()
  readonly #waiting: (() => void)[] = []
  #stream: Stream | undefined
  #nonce = 0

  async listen(): Promise<number> {
    const method = {
      ...STATE_OF_THE_WORLD,
      requestDeserialize: (bytes: Buffer) => fromBinary(DiscoveryRequestSchema, bytes),
      responseSerialize: (response: DiscoveryResponse) => Buffer.from(toBinary(DiscoveryResponseSchema, response)),
    }
    this.#server.addService(
      { stream: method },
      {
        stream: (stream: Stream) => {
          this.#stream = stream
          stream.on('data', (request: DiscoveryRequest) => {
            this.requests.push(request)
            for (const wake of this.#waiting.splice(0)) wake()
          })
          stream.on('error', () => {})
        },
      },
    )
    return new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
  }

  /** The answer's nonce. */
  send(response: MessageInitShape<typeof DiscoveryResponseSchema>): string {
    const nonce = `n${++this.#nonce}`
    this.#stream?.write(create(DiscoveryResponseSchema, { ...response, nonce }))
    return nonce
  }

  async request(wanted: (request: DiscoveryRequest) => boolean): Promise<DiscoveryRequest> {
    for (;;) {
      const found = this.requests.find(wanted)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  stop(): void {
    this.#server.forceShutdown()
  }
}

const clusters = (version: string, ...names: readonly string[]): MessageInitShape<typeof DiscoveryResponseSchema> => ({
  typeUrl: TYPE_URLS.cluster,
  versionInfo: version,
  resources: names.map((name) =>
    anyPack(
      ClusterSchema,
      create(ClusterSchema, {
        name,
        clusterDiscoveryType: {
          case: 'type',
          value: name.startsWith('eds') ? DiscoveryType.EDS : DiscoveryType.STATIC,
        },
        ...(name.startsWith('eds')
          ? {
              edsClusterConfig: {
                edsConfig: { configSourceSpecifier: { case: 'ads', value: {} }, resourceApiVersion: ApiVersion.V3 },
              },
            }
          : { loadAssignment: { clusterName: name } }),
        // An unsupported field, which makes the resource one that is refused.
        ...(name.startsWith('bad') && { altStatName: 'x' }),
      }),
    ),
  ),
})

let server: WholeServer
let client: AdsClient

afterEach(async () => {
  await client.close()
  server.stop()
})

async function start(
  configs: ProxyConfig[],
  wholes: readonly ('cluster' | 'listener')[] = ['cluster'],
  base?: ProxyConfig,
): Promise<void> {
  server = new WholeServer()
  const port = await server.listen()
  client = createAdsClient({
    address: `127.0.0.1:${port}`,
    open: { tls: undefined, authority: '' },
    protocol: 'sotw',
    node: { id: 'n', cluster: 'c', metadata: {} },
    wholes,
    ...(base !== undefined && { base }),
    clock: systemClock,
    random: systemRandom,
    log: createLog('test', 'silent'),
    onConfig: (next) => {
      configs.push(next)
      return []
    },
  })
  await client.start()
}

describe('state of the world', () => {
  it('is asked for everything, acknowledged, and told apart from what was there before', async () => {
    const configs: ProxyConfig[] = []
    await start(configs)
    const first = await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.cluster)
    expect(first).toMatchObject({ resourceNames: [], versionInfo: '', node: { id: 'n', userAgentName: 'isthmus' } })
    const one = server.send(clusters('1', 'a', 'b'))
    await server.request((request) => request.responseNonce === one && request.versionInfo === '1')
    const a = configs.at(-1)?.clusters.get('a')
    const two = server.send(clusters('2', 'a'))
    await server.request((request) => request.responseNonce === two && request.versionInfo === '2')
    expect([...(configs.at(-1)?.clusters.keys() ?? [])]).toEqual(['a'])
    // Unchanged bytes are the very same object, so that its connections stay.
    expect(configs.at(-1)?.clusters.get('a')).toBe(a)
    expect(server.requests.filter(({ node }) => node !== undefined)).toHaveLength(1)
  })

  it('refuses by name and path with the last good version, and serves on', async () => {
    const configs: ProxyConfig[] = []
    await start(configs)
    await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.cluster)
    const good = server.send(clusters('1', 'a'))
    await server.request(({ responseNonce }) => responseNonce === good)
    const bad = server.send(clusters('2', 'a', 'bad'))
    const nack = await server.request(({ responseNonce }) => responseNonce === bad)
    expect(nack.versionInfo).toBe('1')
    expect(nack.errorDetail?.message).toContain('bad: alt_stat_name: is not supported')
    expect([...(configs.at(-1)?.clusters.keys() ?? [])]).toEqual(['a'])
    // The same again is refused again.
    const again = server.send(clusters('3', 'a', 'bad'))
    expect((await server.request(({ responseNonce }) => responseNonce === again)).errorDetail).toBeDefined()
  })

  it('names every resource that it needs, each time', async () => {
    const configs: ProxyConfig[] = []
    await start(configs)
    await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.cluster)
    server.send(clusters('1', 'eds-a', 'eds-b'))
    const asked = await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.endpoints)
    expect(asked.resourceNames.toSorted()).toEqual(['eds-a', 'eds-b'])
    const assignment = (name: string): Any =>
      anyPack(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName: name }))
    server.send({ typeUrl: TYPE_URLS.endpoints, versionInfo: '1', resources: [assignment('eds-a')] })
    // One by one: what one answer leaves out is not gone.
    const nonce = server.send({ typeUrl: TYPE_URLS.endpoints, versionInfo: '2', resources: [assignment('eds-b')] })
    const both = await server.request(({ responseNonce }) => responseNonce === nonce)
    expect(both.resourceNames.toSorted()).toEqual(['eds-a', 'eds-b'])
    expect([...(configs.at(-1)?.endpoints.keys() ?? [])].toSorted()).toEqual(['eds-a', 'eds-b'])
  })

  it('asks for what the bootstrap refers to, though for nothing as a whole', async () => {
    const configs: ProxyConfig[] = []
    const { clusters: own, ...rest } = configOf({ cart: [] })
    await start(configs, [], { ...rest, listeners: new Map(), routes: new Map(), endpoints: new Map(), clusters: own })
    const asked = await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.endpoints)
    expect(asked.resourceNames).toEqual(['cart'])
    const assignment = anyPack(
      ClusterLoadAssignmentSchema,
      create(ClusterLoadAssignmentSchema, { clusterName: 'cart' }),
    )
    const nonce = server.send({ typeUrl: TYPE_URLS.endpoints, versionInfo: '1', resources: [assignment] })
    await server.request(({ responseNonce }) => responseNonce === nonce)
    expect([...(configs.at(-1)?.endpoints.keys() ?? [])]).toEqual(['cart'])
    expect(configs.at(-1)?.clusters).toEqual(own)
  })

  it('hands over what the bootstrap has when the server adds nothing', async () => {
    const configs: ProxyConfig[] = []
    const base = configOf({})
    await start(configs, ['cluster'], { ...base, listeners: new Map() })
    await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.cluster)
    const nonce = server.send(clusters('1'))
    await server.request(({ responseNonce }) => responseNonce === nonce)
    expect(configs).toHaveLength(1)
  })

  it('asks for no kind that the bootstrap does not take from it', async () => {
    await start([], ['cluster', 'listener'])
    await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.listener)
    server.send(NO_LISTENERS)
    await client.close()
    server.stop()
    await start([], ['cluster'])
    await server.request(({ typeUrl }) => typeUrl === TYPE_URLS.cluster)
    const nonce = server.send(clusters('1', 'a'))
    await server.request(({ responseNonce }) => responseNonce === nonce)
    expect(server.requests.map(({ typeUrl }) => typeUrl)).not.toContain(TYPE_URLS.listener)
  })
})
