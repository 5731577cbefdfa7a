/** Everything that a discovery server may say, and what it is told. */
import { serverCertificate } from '../../../harness/certificate.ts'
import {
  assignment,
  bootstrap,
  type Case,
  cluster,
  endpoint,
  get,
  http,
  type Json,
  listener,
  ORIGIN_PORT,
  type Places,
  typed,
} from '../case.ts'
import type { Discovers } from '../discovery.ts'

const BOOTSTRAP = 'envoy.config.bootstrap.v3.Bootstrap'
const CORE = 'envoy.config.core.v3'
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3'
const CLUSTER = 'envoy.config.cluster.v3.Cluster'
const TYPES = {
  cluster: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'envoy.config.listener.v3.Listener',
  route: 'envoy.config.route.v3.RouteConfiguration',
  secret: 'envoy.extensions.transport_sockets.tls.v3.Secret',
}
const XDS_PORT = 18_000
const ADS: Json = { ads: {}, resource_api_version: 'V3' }
const server = serverCertificate('shop.example')

const HTTP2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed('upstreams.http.v3.HttpProtocolOptions', {
      explicit_http_config: { http2_protocol_options: {} },
    }),
  },
}

interface Setup {
  readonly api?: Json
  readonly node?: Json
  readonly dynamic?: Json
  readonly target?: Json
  readonly listeners?: (places: Places) => readonly Json[]
  readonly clusters?: (places: Places) => readonly Json[]
}

const asking =
  ({ api = {}, node = {}, dynamic = {}, target = {}, listeners, clusters }: Setup): Case['config'] =>
  (places) => ({
    ...bootstrap(listeners?.(places) ?? [], [cluster(places, 'xds', XDS_PORT, HTTP2), ...(clusters?.(places) ?? [])]),
    node: { id: 'one', cluster: 'shop', ...node },
    dynamic_resources: {
      ads_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds', ...target } }],
        ...api,
      },
      ...dynamic,
    },
  })

const whole: Json = { lds_config: ADS, cds_config: ADS }
const appOf = (places: Places, more: Json = {}): Json => cluster(places, 'app', ORIGIN_PORT, more)
const byEds: Json = { name: 'app', type: 'EDS', connect_timeout: '1s', eds_cluster_config: { eds_config: ADS } }
const routed = (more: Json = {}): Json =>
  http({ manager: { route_config: undefined, rds: { route_config_name: 'table', config_source: ADS }, ...more } })
const table: Json = {
  name: 'table',
  virtual_hosts: [{ name: 'any', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
}

const origins = (discovers: Discovers): NonNullable<Case['origins']> => ({
  app: { port: ORIGIN_PORT },
  xds: { port: XDS_PORT, discovers },
})
const served: Case['steps'] = [
  { until: { counter: 'listener_manager.total_listeners_active', atLeast: 1 } },
  { raw: get('/') },
]
const common = { steps: served, unordered: true } as const
const all: Discovers = (places) => ({
  [TYPES.cluster]: [byEds],
  [TYPES.endpoints]: [assignment('app', [endpoint(places, ORIGIN_PORT)])],
  [TYPES.listener]: [listener(places, [{ filters: [routed()] }])],
  [TYPES.route]: [table],
})
const node = (...fields: readonly string[]): readonly string[] => fields.map((field) => `${CORE}.Node.${field}`)

export const CASES: readonly Case[] = [
  {
    name: 'all of it, the state of the world each time',
    covers: [
      `${BOOTSTRAP}.dynamic_resources`,
      `${BOOTSTRAP}.DynamicResources.ads_config`,
      `${BOOTSTRAP}.DynamicResources.lds_config`,
      `${BOOTSTRAP}.DynamicResources.cds_config`,
      `${CORE}.ApiConfigSource.grpc_services`,
      `${CORE}.ConfigSource.ads`,
    ],
    origins: origins(all),
    config: asking({ dynamic: whole }),
    ...common,
  },
  {
    name: 'all of it, by what changes',
    covers: [`${CORE}.ApiConfigSource.api_type`],
    origins: origins(all),
    config: asking({ dynamic: whole, api: { api_type: 'DELTA_GRPC' } }),
    ...common,
  },
  {
    name: 'who asks is said once',
    covers: [`${CORE}.ApiConfigSource.set_node_on_first_message_only`],
    origins: origins(all),
    config: asking({ dynamic: whole, api: { set_node_on_first_message_only: true } }),
    ...common,
  },
  {
    name: 'who asks, and where it is',
    covers: [
      `${BOOTSTRAP}.node`,
      ...node('id', 'cluster', 'locality', 'metadata'),
      ...['region', 'zone', 'sub_zone'].map((field) => `${CORE}.Locality.${field}`),
    ],
    origins: origins(all),
    config: asking({
      dynamic: whole,
      node: {
        locality: { region: 'north', zone: 'n1', sub_zone: 'rack' },
        metadata: { team: 'cart' },
      },
    }),
    ...common,
  },
  {
    name: 'the server by its authority',
    covers: [`${CORE}.GrpcService.EnvoyGrpc.authority`],
    origins: origins(all),
    config: asking({ dynamic: whole, target: { authority: 'control.example' } }),
    ...common,
  },
  {
    name: 'endpoints alone',
    covers: [`${CLUSTER}.eds_cluster_config`, `${CLUSTER}.EdsClusterConfig.eds_config`],
    origins: origins((places) => ({ [TYPES.endpoints]: [assignment('app', [endpoint(places, ORIGIN_PORT)])] })),
    config: asking({ listeners: (places) => [listener(places, [{ filters: [http()] }])], clusters: () => [byEds] }),
    ...common,
  },
  {
    name: 'routes alone',
    covers: [`${HCM}.HttpConnectionManager.rds`, `${HCM}.Rds.route_config_name`, `${HCM}.Rds.config_source`],
    origins: origins(() => ({ [TYPES.route]: [table] })),
    config: asking({
      listeners: (places) => [listener(places, [{ filters: [routed()] }])],
      clusters: (places) => [appOf(places)],
    }),
    ...common,
  },
  {
    name: 'a certificate alone',
    covers: ['envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig.sds_config'],
    origins: origins(() => ({
      [TYPES.secret]: [
        {
          name: 'serving',
          tls_certificate: {
            certificate_chain: { inline_string: server.cert },
            private_key: { inline_string: server.key },
          },
        },
      ],
    })),
    config: asking({
      listeners: (places) => [
        listener(places, [
          {
            filters: [http()],
            transport_socket: {
              name: 'tls',
              typed_config: typed('transport_sockets.tls.v3.DownstreamTlsContext', {
                common_tls_context: {
                  tls_certificate_sds_secret_configs: [{ name: 'serving', sds_config: ADS }],
                },
              }),
            },
          },
        ]),
      ],
      clusters: (places) => [appOf(places)],
    }),
    steps: [
      ...served.slice(0, 1),
      { raw: get('/', 'connection: close'), answers: 'close', tls: { serverName: 'shop.example', ca: server.ca } },
    ],
    unordered: true,
  },
]
