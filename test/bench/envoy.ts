/**
 * Envoy's side of each path: static bootstraps with the features that ours have, and none besides. The pieces are
 * plain objects in the form of Envoy's JSON; nothing here is read by our proxy.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ORIGIN_H2_PORT, ORIGIN_PORT } from './origin.ts'
import {
  CONNECT_TIMEOUT_MS,
  GATEWAY_SNI,
  LOCAL,
  type Place,
  type Places,
  RETRIES_MAX,
  type ServiceNames,
  SHARED,
  TIMEOUT_MS,
  TUNNEL_AUTHORITY,
} from './places.ts'
import { type Running, startProgram, untilListening } from './programs.ts'
import { type Path, type System, systemOf } from './system.ts'

type Json = Readonly<Record<string, unknown>>
export type MeshProtocol = 'h1' | 'h2'

const FORWARD_PORT = 15003
const MESH_PORT = 15008
const GATEWAY_PORT = 15443
const API = 'type.googleapis.com/envoy.extensions'

export interface EnvoyOptions {
  readonly places: Places
  readonly directory: string
  readonly origin: string
  readonly program: string
  /** Between the proxies of a mesh path. */
  readonly protocol: MeshProtocol
  /** HTTP/2 to the application, for rows whose client speaks it. */
  readonly originH2: boolean
  /** How many pods stand behind the destination; 1 if absent. */
  readonly pods?: number
  /** Nested as ours are: an internal listener tunnels TLS to the pod through CONNECT to the gateway. */
  readonly nests?: boolean
}

export async function startEnvoy(path: Path, options: EnvoyOptions): Promise<System> {
  const starter = new Starter(options)
  const { places, origin, originH2 } = options
  const caller = places.address()
  const application = clusterOf('application', [origin], [originH2 ? ORIGIN_H2_PORT : ORIGIN_PORT], { h2: originH2 })
  if (path === 'one hop') {
    const log = logged('source', places.caller, places.near, LOCAL, 'plain')
    const http = (logs: readonly Json[]): Json =>
      connectionManager('application', logs, { retries: true, rbac: rbacFilter(LOCAL_CLIENTS) })
    await starter.start(caller, FORWARD_PORT, { cluster: application, filter: http, log })
    return starter.system({ address: caller, port: FORWARD_PORT, authority: LOCAL.host })
  }
  const target = path === 'two hops' ? places.near : places.far
  const names = path === 'two hops' ? LOCAL : SHARED
  const pods = Array.from({ length: options.pods ?? 1 }, () => places.address())
  for (const pod of pods) {
    await starter.start(pod, MESH_PORT, {
      cluster: application,
      filter: (logs) =>
        connectionManager('application', logs, { rbac: rbacFilter(rbacRules(places)), identifies: true }),
      log: logged('destination', places.caller, target, names, 'plain'),
      tls: downstreamTls(target, options),
    })
  }
  let next: { addresses: readonly string[]; ports: readonly number[] } = { addresses: pods, ports: [MESH_PORT] }
  if (path === 'nested') {
    const gateway = places.address()
    const nests = options.nests === true
    // One connection of HTTP/2 would reach one pod only: as many ways into the gateway as there are pods, so that the
    // peer does the same work as ours, whose tunnels lead to all of them.
    const ports = pods.map((_, index) => GATEWAY_PORT + index)
    await starter.start(gateway, GATEWAY_PORT, {
      cluster: clusterOf('pod', pods, [MESH_PORT], { lb: 'ROUND_ROBIN' }),
      morePorts: ports.slice(1),
      filter: (logs) => (nests ? connectProxy('pod', logs) : tcpProxy('pod', logs)),
      log: logged('destination', places.caller, target, names, 'tunnel'),
      ...(nests ? { tls: downstreamTls(places.gateway, options) } : { serverName: names.sni }),
    })
    next = { addresses: [gateway], ports }
  }
  const tls = upstreamTls(places, target, names.sni, options.protocol)
  const h2 = options.protocol === 'h2'
  const nested = options.nests === true ? encapsulated(next.addresses, places) : undefined
  await starter.start(caller, FORWARD_PORT, {
    cluster:
      nested === undefined
        ? clusterOf('pod', next.addresses, next.ports, { h2, tls })
        : clusterOf('pod', [], [], { h2, tls }),
    ...(nested === undefined ? {} : { nested }),
    filter: (logs) => connectionManager('pod', logs, { retries: true }),
    log: logged('source', places.caller, target, names, path === 'nested' ? 'tunnel' : 'mtls'),
  })
  return starter.system({ address: caller, port: FORWARD_PORT, authority: names.host })
}

interface ProxyParts {
  readonly cluster: Json
  readonly filter: (logs: readonly Json[]) => Json
  /** Network filters before it. */
  readonly before?: readonly Json[]
  readonly log: (path: string) => readonly Json[]
  readonly tls?: Json
  /** Where it listens besides. */
  readonly morePorts?: readonly number[]
  /** TLS passed through by this name. */
  readonly serverName?: string
  /** What an internal listener needs. */
  readonly nested?: { readonly listener: Json; readonly cluster: Json }
}

export class Starter {
  readonly #options: EnvoyOptions
  readonly #running: Running[] = []
  readonly #logs: string[] = []

  constructor(options: EnvoyOptions) {
    this.#options = options
  }

  async start(address: string, port: number, parts: ProxyParts): Promise<void> {
    const { directory, program } = this.#options
    const log = join(directory, `envoy-${address}.log`)
    const file = join(directory, `envoy-${address}.json`)
    const chain = {
      filters: [...(parts.before ?? []), parts.filter(parts.log(log))],
      ...(parts.tls === undefined ? {} : { transport_socket: parts.tls }),
      ...(parts.serverName === undefined ? {} : { filter_chain_match: { server_names: [parts.serverName] } }),
    }
    const inspector = {
      name: 'tls_inspector',
      typed_config: { '@type': `${API}.filters.listener.tls_inspector.v3.TlsInspector` },
    }
    const listener = {
      name: 'main',
      address: socketAddress(address, port),
      additional_addresses: (parts.morePorts ?? []).map((more) => ({ address: socketAddress(address, more) })),
      ...(parts.serverName === undefined ? {} : { listener_filters: [inspector] }),
      filter_chains: [chain],
    }
    await writeFile(
      file,
      JSON.stringify({
        admin: { address: socketAddress(address, 15000) },
        static_resources: {
          listeners: [listener, ...(parts.nested === undefined ? [] : [parts.nested.listener])],
          clusters: [parts.cluster, ...(parts.nested === undefined ? [] : [parts.nested.cluster])],
        },
        ...(parts.nested === undefined ? {} : { bootstrap_extensions: [INTERNAL_LISTENERS] }),
      }),
    )
    this.#logs.push(log)
    const args = ['-c', file, '--concurrency', '1', '--log-level', 'error', '--disable-hot-restart']
    this.#running.push(startProgram({ name: `envoy ${address}`, program, args }))
    await untilListening(address, port)
  }

  system(target: System['target']): System {
    return systemOf({ target, running: this.#running, logs: this.#logs })
  }
}

const socketAddress = (address: string, port: number): Json => ({ socket_address: { address, port_value: port } })

/** The fields of src/proxy/record.ts, and its counters and durations by source and destination. */
function logged(
  reporter: 'source' | 'destination',
  source: Place,
  destination: Place,
  ...[names, transport]: [ServiceNames, string]
): (path: string) => readonly Json[] {
  const party = ({ cluster, namespace, workload }: Place, principal: string): Json =>
    principal === '' ? { cluster, namespace, workload } : { cluster, namespace, workload, principal }
  const inbound = reporter === 'destination'
  const json = {
    time: '%START_TIME%',
    reporter,
    method: '%REQ(:METHOD)%',
    authority: '%REQ(:AUTHORITY)%',
    path: '%REQ(:PATH)%',
    protocol: '%PROTOCOL%',
    status: '%RESPONSE_CODE%',
    flags: '%RESPONSE_FLAGS%',
    durationMs: '%DURATION%',
    bytesReceived: '%BYTES_RECEIVED%',
    bytesSent: '%BYTES_SENT%',
    service: names.host,
    source: party(source, inbound ? '%DOWNSTREAM_PEER_URI_SAN%' : ''),
    destination: party(destination, inbound ? '%DOWNSTREAM_LOCAL_URI_SAN%' : '%UPSTREAM_PEER_URI_SAN%'),
    upstream: '%UPSTREAM_HOST%',
    transport,
    attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%',
    requestId: '%REQ(X-REQUEST-ID)%',
  }
  // What its counters cost Envoy stands in docs/performance.md; measured by leaving them out.
  const counters = process.env['BENCH_ENVOY_COUNTERS'] !== 'off'
  return (path) => [fileLog(path, json), ...(counters ? [metrics(reporter, [source, destination], names)] : [])]
}

function fileLog(path: string, json: Json): Json {
  const typed = { '@type': `${API}.access_loggers.file.v3.FileAccessLog`, path, log_format: { json_format: json } }
  return { name: 'envoy.access_loggers.file', typed_config: typed }
}

function metrics(reporter: string, parties: readonly [Place, Place], names: ServiceNames): Json {
  const inbound = reporter === 'destination'
  const [source, destination] = parties
  const labels: Readonly<Record<string, string>> = {
    reporter,
    source_cluster: source.cluster,
    source_workload_namespace: source.namespace,
    source_workload: source.workload,
    source_principal: inbound ? '%DOWNSTREAM_PEER_URI_SAN%' : 'unknown',
    destination_cluster: destination.cluster,
    destination_workload_namespace: destination.namespace,
    destination_workload: destination.workload,
    destination_principal: inbound ? '%DOWNSTREAM_LOCAL_URI_SAN%' : '%UPSTREAM_PEER_URI_SAN%',
    destination_service: names.host,
    response_code: '%RESPONSE_CODE%',
    response_flags: '%RESPONSE_FLAGS%',
  }
  const tags = Object.entries(labels).map(([name, value_format]) => ({ name, value_format }))
  const stat = (name: string): Json => ({ name, tags })
  return {
    name: 'envoy.access_loggers.stats',
    typed_config: {
      '@type': `${API}.access_loggers.stats.v3.Config`,
      stat_prefix: 'istio',
      counters: [
        { stat: stat('requests_total'), value_fixed: '1' },
        { stat: stat('request_bytes'), value_format: '%BYTES_RECEIVED%' },
        { stat: stat('response_bytes'), value_format: '%BYTES_SENT%' },
      ],
      histograms: [{ stat: stat('duration'), unit: 'Milliseconds', value_format: '%DURATION%' }],
    },
  }
}

function connectionManager(
  cluster: string,
  logs: readonly Json[],
  given: { readonly retries?: boolean; readonly rbac?: Json; readonly identifies?: boolean },
): Json {
  const retries = {
    timeout: `${TIMEOUT_MS / 1_000}s`,
    retry_policy: { retry_on: 'connect-failure,refused-stream,reset', num_retries: RETRIES_MAX },
  }
  const route = {
    match: { prefix: '/' },
    route: { cluster, ...(given.retries === true ? retries : { timeout: '0s' }) },
  }
  const router = { name: 'router', typed_config: { '@type': `${API}.filters.http.router.v3.Router` } }
  return {
    name: 'http',
    typed_config: {
      '@type': `${API}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: 'http',
      access_log: logs,
      http_filters: [...(given.rbac === undefined ? [] : [given.rbac]), router],
      ...(given.identifies !== true
        ? {}
        : { forward_client_cert_details: 'SANITIZE_SET', set_current_client_cert_details: { uri: true } }),
      route_config: { name: 'main', virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    },
  }
}

/** One ALLOW policy: workloads of the mesh's two trust domains. */
function rbacRules(places: Places): Json {
  const principals = places.trustDomains.map((domain) => ({
    authenticated: { principal_name: { prefix: `spiffe://${domain}/` } },
  }))
  const policies = { mesh: { permissions: [{ any: true }], principals } }
  return { action: 'ALLOW', policies }
}

/** One ALLOW policy where nobody has a certificate: clients of this machine. */
const LOCAL_CLIENTS: Json = {
  action: 'ALLOW',
  policies: {
    local: {
      permissions: [{ any: true }],
      principals: [{ direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }],
    },
  },
}

const rbacFilter = (rules: Json): Json => ({
  name: 'rbac',
  typed_config: { '@type': `${API}.filters.http.rbac.v3.RBAC`, rules },
})

/** The same rule for connections. */
export const rbacOf = (places: Places): Json => ({
  name: 'rbac',
  typed_config: { '@type': `${API}.filters.network.rbac.v3.RBAC`, stat_prefix: 'rbac', rules: rbacRules(places) },
})

/** What a line says of a connection, and its counters. */
export const tcpLogged = (reporter: 'source' | 'destination', places: Places): ((path: string) => readonly Json[]) =>
  logged(reporter, places.caller, places.near, LOCAL, reporter === 'source' ? 'mtls' : 'plain')

export const tcpCluster = (name: string, address: string, ...[port, tls]: [number, Json?]): Json =>
  clusterOf(name, [address], [port], tls === undefined ? {} : { tls })

const INTERNAL_LISTENERS: Json = {
  name: 'internal listeners',
  typed_config: { '@type': `${API}.bootstrap.internal_listener.v3.InternalListener` },
}
const ENCAPSULATES = 'encapsulates'

/** Whatever reaches the internal listener goes through a CONNECT stream of a TLS connection to the gateway. */
function encapsulated(gateways: readonly string[], places: Places): { listener: Json; cluster: Json } {
  const proxy = {
    name: 'tcp',
    typed_config: {
      '@type': `${API}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: 'tunnel',
      cluster: 'gateway',
      tunneling_config: { hostname: TUNNEL_AUTHORITY },
    },
  }
  return {
    listener: { name: ENCAPSULATES, internal_listener: {}, filter_chains: [{ filters: [proxy] }] },
    cluster: clusterOf('gateway', gateways, [GATEWAY_PORT], {
      h2: true,
      tls: upstreamTls(places, places.gateway, GATEWAY_SNI, 'h2'),
    }),
  }
}

/** Accepts CONNECT and carries its bytes to the cluster. */
function connectProxy(cluster: string, logs: readonly Json[]): Json {
  const route = {
    match: { connect_matcher: {} },
    route: { cluster, timeout: '0s', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
  }
  return {
    name: 'http',
    typed_config: {
      '@type': `${API}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: 'http',
      access_log: logs,
      http_filters: [{ name: 'router', typed_config: { '@type': `${API}.filters.http.router.v3.Router` } }],
      http2_protocol_options: { allow_connect: true },
      upgrade_configs: [{ upgrade_type: 'CONNECT' }],
      route_config: { name: 'main', virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    },
  }
}

export function tcpProxy(cluster: string, logs: readonly Json[]): Json {
  return {
    name: 'tcp',
    typed_config: {
      '@type': `${API}.filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: 'tcp',
      cluster,
      access_log: logs,
    },
  }
}

/** No addresses: the internal listener. */
function clusterOf(
  name: string,
  addresses: readonly string[],
  ...[ports, given]: [readonly number[], { readonly h2?: boolean; readonly tls?: Json; readonly lb?: string }]
): Json {
  const explicit = {
    '@type': `${API}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  }
  const internal = { envoy_internal_address: { server_listener_name: ENCAPSULATES } }
  const sockets = addresses.flatMap((address) => ports.map((port) => socketAddress(address, port)))
  const targets = sockets.length === 0 ? [internal] : sockets
  const endpoints = targets.map((address) => ({ endpoint: { address } }))
  return {
    name,
    type: 'STATIC',
    lb_policy: given.lb ?? 'LEAST_REQUEST',
    connect_timeout: `${CONNECT_TIMEOUT_MS / 1_000}s`,
    outlier_detection: { consecutive_5xx: 5, base_ejection_time: '30s', max_ejection_percent: 100 },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: endpoints }] },
    ...(given.tls === undefined ? {} : { transport_socket: given.tls }),
    ...(given.h2 === true
      ? { typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': explicit } }
      : {}),
  }
}

/** TLS 1.3 and nothing older, without tickets, both sides judged by root and SPIFFE id: what ours do. */
function commonTls(place: Place, rootPem: string, given: { sans: readonly Json[]; alpn: readonly string[] }): Json {
  return {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificates: [
      {
        certificate_chain: { inline_string: place.certificate.chainPem },
        private_key: { inline_string: place.certificate.keyPem },
      },
    ],
    validation_context: {
      trusted_ca: { inline_string: rootPem },
      match_typed_subject_alt_names: given.sans.map((matcher) => ({ san_type: 'URI', matcher })),
    },
    alpn_protocols: given.alpn,
  }
}

export function downstreamTls(place: Place, options: EnvoyOptions): Json {
  const { places, protocol } = options
  const sans = places.trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` }))
  return {
    name: 'tls',
    typed_config: {
      '@type': `${API}.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      disable_stateless_session_resumption: true,
      common_tls_context: commonTls(place, places.rootPem, { sans, alpn: [alpnOf(protocol)] }),
    },
  }
}

export function upstreamTls(places: Places, target: Place, ...[sni, protocol]: [string, MeshProtocol]): Json {
  return {
    name: 'tls',
    typed_config: {
      '@type': `${API}.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni,
      max_session_keys: 0,
      common_tls_context: commonTls(places.caller, places.rootPem, {
        sans: [{ exact: target.uri }],
        alpn: [alpnOf(protocol)],
      }),
    },
  }
}

const alpnOf = (protocol: MeshProtocol): string => (protocol === 'h2' ? 'h2' : 'http/1.1')
