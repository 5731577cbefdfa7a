/** A bootstrap whose listeners, clusters and certificates come from a discovery server: ours, over delta, with TLS. */
import { connect } from 'node:tls'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serverCertificate } from '../../../test/harness/certificate.ts'
import { type GenericProxy, startGenericProxy } from '../../../test/harness/generic-proxy.ts'
import { HiddenText, type ProxyConfig, type Rejection, type Secret } from '../../model/config.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { systemRandom } from '../../runtime/random.ts'
import { readBootstrap } from '../../xds/bootstrap/bootstrap.ts'
import type { AdsClient } from '../../xds/client.ts'
import { type AdsServer, createAdsServer } from '../../xds/server.ts'
import { adsClientOf } from './ads.ts'

const EXTENSION = 'type.googleapis.com/envoy.extensions'
const log = createLog('test', 'silent')
const discovery = serverCertificate('discovery.example')
const shop = serverCertificate('shop.example')
const ads = { ads: {}, resource_api_version: 'V3' }
const address = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } })

function listener(answer: string): object {
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: answer } } }]
  const router = { '@type': `${EXTENSION}.filters.http.router.v3.Router` }
  const manager = {
    '@type': `${EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'main',
    route_config: { virtual_hosts: [{ name: 'any', domains: ['*'], routes }] },
    http_filters: [{ name: 'envoy.filters.http.router', typed_config: router }],
  }
  const context = {
    '@type': `${EXTENSION}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'shop', sds_config: ads }] },
  }
  return {
    name: 'main',
    address: address(0),
    filter_chains: [
      { filters: [{ name: 'http', typed_config: manager }], transport_socket: { name: 'tls', typed_config: context } },
    ],
  }
}

const withServer = {
  dynamic_resources: {
    ads_config: {
      api_type: 'DELTA_GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'discovery' } }],
    },
    lds_config: ads,
    cds_config: ads,
  },
}

const read = (bootstrap: object): Extract<ReturnType<typeof readBootstrap>, { ok: true }>['bootstrap'] => {
  const result = readBootstrap(JSON.stringify(bootstrap))
  if (!result.ok) throw new Error(JSON.stringify(result.faults))
  return result.bootstrap
}

function served(answer: string): ProxyConfig {
  const { config } = read({ ...withServer, static_resources: { listeners: [listener(answer)] } })
  const pair = { chain: { text: shop.cert }, key: { hidden: new HiddenText(shop.key) } }
  return { ...config, secrets: new Map<string, Secret>([['shop', { kind: 'certificate', name: 'shop', pair }]]) }
}

let present = served('one')
let server: AdsServer<string>
let grpc: Server
let client: AdsClient
let proxy: GenericProxy
let rejected: readonly Rejection[] = []

beforeAll(async () => {
  server = createAdsServer<string>({
    authenticate: (_metadata, node) => Promise.resolve({ ok: true, client: node.id }),
    configFor: () => ({ config: present, version: 'v' }),
    clock: systemClock,
    log,
    coalesceMs: 5,
  })
  grpc = new Server()
  server.register(grpc)
  const pair = { private_key: Buffer.from(discovery.key), cert_chain: Buffer.from(discovery.cert) }
  const port = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const tls = {
    '@type': `${EXTENSION}.transport_sockets.tls.v3.UpstreamTlsContext`,
    sni: 'discovery.example',
    common_tls_context: {
      validation_context: {
        trusted_ca: { inline_string: discovery.ca },
        match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'discovery.example' } }],
      },
    },
  }
  const bootstrap = {
    node: { id: 'edge', cluster: 'shop' },
    static_resources: {
      clusters: [
        {
          name: 'discovery',
          load_assignment: {
            cluster_name: 'discovery',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
          },
          transport_socket: { name: 'tls', typed_config: tls },
        },
      ],
    },
    ...withServer,
  }
  proxy = startGenericProxy(bootstrap)
  const decoded = read(bootstrap)
  if (decoded.dynamic === undefined) throw new Error('no dynamic resources')
  const onConfig = (next: ProxyConfig): readonly Rejection[] => {
    rejected = proxy.proxy.apply(next).rejected
    return rejected
  }
  client = adsClientOf(decoded, decoded.dynamic, { clock: systemClock, random: systemRandom, log, onConfig })
  await client.start()
})

afterAll(async () => {
  await client.close()
  proxy.close()
  server.close()
  grpc.forceShutdown()
})

async function ask(): Promise<string> {
  const port = await proxy.port('main')
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername: 'shop.example', ca: shop.ca })
    let text = ''
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'))
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    socket.on('error', (error) => resolve(String(error)))
    socket.on('close', () => resolve(text.split('\r\n\r\n')[1] ?? ''))
  })
}

async function until(answer: string): Promise<void> {
  while ((await ask()) !== answer) await new Promise<void>((resolve) => systemClock.after(5, resolve))
}

describe('a bootstrap with ADS', () => {
  it('serves what the server sends, with the certificate that came as a secret, and follows changes', async () => {
    await until('one')
    expect([...proxy.proxy.state.snapshot.config.clusters.keys()]).toEqual(['discovery'])
    present = served('two')
    server.notify()
    await until('two')
    expect(rejected).toEqual([])
  })

  it('keeps what the bootstrap says when the server says otherwise', async () => {
    const { config } = read({
      static_resources: {
        clusters: [{ name: 'discovery', connect_timeout: '9s', load_assignment: { cluster_name: 'discovery' } }],
      },
    })
    const before = proxy.proxy.state.snapshot.version
    present = { ...served('three'), clusters: config.clusters }
    server.notify()
    await until('three')
    expect(proxy.proxy.state.snapshot.version).toBeGreaterThan(before)
    expect(proxy.proxy.state.snapshot.config.clusters.get('discovery')?.connectTimeoutMs).toBe(5_000)
  })
})

describe('dynamic_resources', () => {
  const faultsOf = (dynamic: object): string => {
    const rest = 'static_resources' in dynamic ? dynamic : { dynamic_resources: dynamic }
    const result = readBootstrap(JSON.stringify(rest))
    return result.ok ? '' : result.faults.map(({ path, message }) => `${path}: ${message}`).join('\n')
  }

  it.each([
    [
      'a file',
      { lds_config: { path_config_source: { path: '/x' } } },
      'dynamic_resources.lds_config.path_config_source',
    ],
    ['REST', { ads_config: { api_type: 'REST' } }, 'dynamic_resources.ads_config.api_type: must be GRPC or DELTA_GRPC'],
    ['ads without its server', { lds_config: ads }, 'dynamic_resources.ads_config: is required'],
    [
      'what would have to come over ADS, without it',
      { static_resources: { clusters: [{ name: 'a', type: 'EDS', eds_cluster_config: { eds_config: ads } }] } },
      'dynamic_resources.ads_config: is required: endpoints a come over ADS',
    ],
    [
      'another gRPC client',
      { ads_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [{ google_grpc: {} }] } },
      'dynamic_resources.ads_config.grpc_services[0].google_grpc: is not supported',
    ],
  ])('refuses %s by its path', (_name, dynamic, expected) => {
    expect(faultsOf(dynamic)).toContain(expected)
  })
})
