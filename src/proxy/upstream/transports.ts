/**
 * Chooses the way to an endpoint by its `transport`: plain (as its cluster says), mTLS to the pod, or tunnels through
 * a peer's gateway. How many connections each wants stands here, side by side.
 */
import type { Cluster, Endpoint, UpstreamProtocol } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { TransportFactory } from '../balance/cluster.ts'
import { H2_LIMITS } from '../h2/types.ts'
import { type DialContext, dialMesh, dialPlain, failLater, type Target } from './dial.ts'
import { EitherTransport } from './either.ts'
import { dialOpen } from './open-dial.ts'
import { Pool, type PoolOptions } from './pool.ts'
import type { Dial, Transport } from './transport.ts'
import { type GatewayLinks, TunnelTransport } from './tunnel.ts'

export const PLAIN_CONNECTIONS_MAX = 1_024 // Envoy's max_connections
/** Closed before most servers close on their side (Node after 5 s), so that a request rarely meets a closing socket. */
const PLAIN_IDLE_MS = 4_000
export const MESH_CONNECTIONS_MAX = 8 // of 1,000 streams each
const MESH_IDLE_MS = 300_000
export const WAITERS_MAX = 1_024 // Envoy's max_pending_requests

export function transportFactory(context: DialContext, random: Random, links: GatewayLinks): TransportFactory {
  return ({ cluster, endpoint, limits, onUsable }) => {
    const { address, port, transport, tunnel } = endpoint()
    const target = { address, port, timeoutMs: cluster.connectTimeoutMs }
    if (transport === 'tunnel' && tunnel !== undefined) {
      return new TunnelTransport({
        context,
        random,
        links,
        target,
        tunnel: () => endpoint().tunnel ?? tunnel,
        settings: cluster.connections,
        limits,
        onUsable,
      })
    }
    const name = `${address}:${port}`
    const common = {
      name,
      timers: context.timers,
      random,
      limits,
      waitersMax: WAITERS_MAX,
      judgesConnections: false,
      settings: cluster.connections,
      onUsable,
    }
    if (transport === 'plain') return openTransport(context, { cluster, target, common })
    return new Pool({
      ...common,
      dial: meshDial(context, cluster, endpoint()),
      connectionsMax: MESH_CONNECTIONS_MAX,
      wanted: () => 1,
      streamsExpected: H2_LIMITS.streamsMax,
      keepAlive: true,
      idleMs: MESH_IDLE_MS,
    })
  }
}

type Common = Pick<
  PoolOptions,
  'name' | 'timers' | 'random' | 'limits' | 'waitersMax' | 'judgesConnections' | 'settings' | 'onUsable'
>

/** Outside the mesh: as the cluster says, in plaintext and HTTP/1.1 where it says nothing. */
function openTransport(
  context: DialContext,
  { cluster, target, common }: { readonly cluster: Cluster; readonly target: Target; readonly common: Common },
): Transport {
  const { clientTls: tls, protocol = 'http1', connections, proxyHeader } = cluster
  const poolOf = (spoken: Exclude<UpstreamProtocol, 'downstream'>): Pool => {
    const { streamsMax, http1Trailers } = connections ?? {}
    const trailers = http1Trailers ?? context.http1Trailers ?? true
    const open = { ...target, protocol: spoken, tls, streamsMax, trailers }
    const plain = tls === undefined && spoken === 'http1'
    return new Pool({
      ...common,
      dial: proxyHeader !== undefined ? refuse : plain ? dialPlain(context, target, trailers) : dialOpen(context, open),
      connectionsMax: PLAIN_CONNECTIONS_MAX,
      wanted: () => 0,
      streamsExpected: spoken === 'http2' ? (streamsMax ?? H2_LIMITS.streamsMax) : 1,
      speaksHttp2: spoken === 'http2',
      // Foreign servers may end connections that ping unasked.
      keepAlive: spoken === 'http2' && connections?.keepAlive !== undefined,
      forgives: context.forgives === true,
      idleMs: spoken === 'http1' ? PLAIN_IDLE_MS : MESH_IDLE_MS,
    })
  }
  return protocol === 'downstream' ? new EitherTransport(poolOf('http1'), poolOf('http2')) : poolOf(protocol)
}

/** Connections that requests of many clients share cannot say whose they are. */
const refuse: Dial = (_handler, done) =>
  failLater(done, { kind: 'connect', detail: 'the PROXY protocol is written for TCP connections only' })

/** An endpoint that wants mTLS in a cluster without TLS settings fails closed: it is never dialled in plain. */
function meshDial(context: DialContext, cluster: Cluster, endpoint: Endpoint): Dial {
  const { tls } = cluster
  if (tls === undefined || endpoint.transport !== 'mtls') {
    return (_handler, done) => {
      const failure = { kind: 'identity', detail: `cluster ${cluster.name} has no TLS settings` } as const
      queueMicrotask(() => done({ kind: 'failed', failure }))
      return () => {}
    }
  }
  const target = { address: endpoint.address, port: endpoint.port, timeoutMs: cluster.connectTimeoutMs }
  return dialMesh(context, target, {
    serverName: tls.sni,
    identities: tls.identities,
    timeoutMs: cluster.connectTimeoutMs,
    limits: H2_LIMITS,
  })
}
