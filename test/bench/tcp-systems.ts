/**
 * The systems of the TCP rows: caller → mTLS → the pod's proxy → application, bytes untouched; ours, Envoy, a plain relay
 * of node:tls in two processes, and no proxy at all. Both proxies log every connection, count it, and judge the peer.
 */
import { join } from 'node:path'
import { ALPN_TCP } from '../../src/model/tcp.ts'
import {
  downstreamTls,
  rbacOf,
  Starter as EnvoyStarter,
  tcpCluster,
  tcpLogged,
  tcpProxy,
  upstreamTls,
} from './envoy.ts'
import { assignment, endpointOf, type Config, Starter } from './isthmus.ts'
import { CONNECT_TIMEOUT_MS, LOCAL, type Places } from './places.ts'
import type { System } from './system.ts'

export const TCP_PORT = 15432
const MESH_PORT = 15008
const INBOUND = 'inbound|9000||'

export interface TcpOptions {
  readonly places: Places
  readonly directory: string
  readonly origin: { readonly address: string; readonly port: number }
}

export async function startTcpIsthmus(options: TcpOptions & { readonly dist: string }): Promise<System> {
  const { places, origin } = options
  const starter = new Starter({ ...options, origin: origin.address })
  const pod = places.address()
  const application = endpointOf(places.near, origin.address, origin.port, 'plain')
  await starter.start('pod', places.near, pod, {
    listeners: [
      {
        name: 'inbound-mesh',
        address: pod,
        port: MESH_PORT,
        chains: [
          {
            name: LOCAL.host,
            serverNames: [LOCAL.sni],
            tls: { certificate: 'default', validation: 'ROOTCA', alpn: [ALPN_TCP] },
            allow: { trustDomains: places.trustDomains, ids: [] },
            filter: { kind: 'tcp', statPrefix: 'in', cluster: INBOUND },
          },
        ],
      },
    ],
    clusters: [clusterTo(INBOUND, application)],
  })
  const caller = places.address()
  const tls = {
    certificate: 'default',
    validation: 'ROOTCA',
    sni: LOCAL.sni,
    alpn: [ALPN_TCP],
    identities: [places.near.uri],
  }
  const filter = { kind: 'tcp', statPrefix: 'out', cluster: LOCAL.cluster, connectAttemptsMax: 3 } as const
  await starter.start('caller', places.caller, caller, {
    listeners: [{ name: 'tcp', address: caller, port: TCP_PORT, chains: [{ name: 'tcp', serverNames: [], filter }] }],
    clusters: [{ ...clusterTo(LOCAL.cluster, endpointOf(places.near, pod, MESH_PORT, 'mtls')), tls }],
  })
  return starter.system({ address: caller, port: TCP_PORT, authority: LOCAL.host })
}

function clusterTo(name: string, endpoint: ReturnType<typeof endpointOf>): NonNullable<Config['clusters']>[number] {
  return { name, endpoints: assignment(name, [endpoint]), lb: 'least-request', connectTimeoutMs: CONNECT_TIMEOUT_MS }
}

export async function startTcpEnvoy(options: TcpOptions & { readonly program: string }): Promise<System> {
  const { places, origin } = options
  const tls = { ...options, origin: origin.address, protocol: 'h1', originH2: false } as const
  const starter = new EnvoyStarter(tls)
  const pod = places.address()
  await starter.start(pod, MESH_PORT, {
    cluster: tcpCluster('application', origin.address, origin.port),
    filter: (logs) => tcpProxy('application', logs),
    before: [rbacOf(places)],
    log: tcpLogged('destination', places),
    tls: downstreamTls(places.near, tls),
  })
  const caller = places.address()
  await starter.start(caller, TCP_PORT, {
    cluster: tcpCluster('pod', pod, MESH_PORT, upstreamTls(places, places.near, LOCAL.sni, 'h1')),
    filter: (logs) => tcpProxy('pod', logs),
    log: tcpLogged('source', places),
  })
  return starter.system({ address: caller, port: TCP_PORT, authority: LOCAL.host })
}

export const TCP_LOAD = join(import.meta.dirname, 'tcp-load.ts')
