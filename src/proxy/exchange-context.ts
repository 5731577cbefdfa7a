/**
 * What an exchange is given: the connection it came over and the services of the process. Interfaces and small pure
 * helpers; state.ts and http-connection.ts make the objects.
 */
import type { X509Certificate } from 'node:crypto'
import type { Random } from '../runtime/random.ts'
import type { Endpoint } from '../model/config.ts'
import type { EndpointState } from './balance/endpoint.ts'
import type { CompiledHttp } from './compile.ts'
import type { Peer } from './identity.ts'
import type { Addresses } from './l4/proxy-protocol.ts'
import type { Overload } from './overload.ts'
import type { Party, Recorder } from './record.ts'
import type { RetryRule } from './retry.ts'
import type { ClientConnection } from './stream.ts'
import type { ConnectionFacts, FormatHost } from './stream-facts.ts'
import type { HttpTelemetry } from './telemetry.ts'
import type { TimerWheel } from './timer-wheel.ts'
import type { RawDialer } from './upstream/raw.ts'
import type { Dialed } from './upstream/transport.ts'

export interface ClientConnectionFacts {
  readonly secure: boolean
  readonly localAddress: string
  readonly localPort: number
  readonly serverName: string
  /** The name that the client asked TLS for; empty in plaintext, and where it named none. */
  readonly sni: string
  /** Judged by the chain's TLS context. */
  readonly certificate: X509Certificate | undefined
  /** What that certificate calls it: URIs, DNS names, the subject; without one the empty subject, as in Envoy. */
  readonly names: () => readonly string[]
  /** The other end of the socket: a relay that named its client in the PROXY protocol, or the client. */
  readonly directAddress: string
  /** The addresses are what a relay said. */
  readonly isBrought: boolean
}

/** The connection a request came over, in the words of its listener. */
export interface DownstreamConnection {
  readonly mode: 'forward' | 'inbound' | 'reverse'
  readonly peer: Peer | undefined
  /** Host of the service the connection's server name stands for; empty where each request names its own. */
  readonly service: string
  /** `address:port` that the application wanted, where the kernel led its connection here; otherwise empty. */
  readonly dialed: string
  /** Of the client's socket; empty where the socket is gone already. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly telemetry: HttpTelemetry
  /** For logs, header values and spans. */
  facts(): ConnectionFacts
  /** Settings and table of the present snapshot: an exchange asks once and keeps what it got. */
  http(): CompiledHttp | undefined
  /** For routes that bring no rule of their own. */
  readonly retry: RetryRule | undefined
  /** Generic listeners only: the client as its connection shows it. */
  readonly client: ClientConnectionFacts | undefined
  /** Where they are not the socket's own. */
  readonly addresses: Addresses | undefined
  source(): Party
  /** Our facts for the peer, on the first response of the connection; undefined afterwards. */
  introduceSelf(): string | undefined
}

/** What is known about mesh connections to others. */
export interface MeshDirectory {
  dialedOf(endpoint: EndpointState, connection: ClientConnection): Dialed | undefined
  /** Our facts for the first request on a mesh connection; undefined afterwards and on plain ones. */
  introduce(connection: ClientConnection, mutualTls: boolean): string | undefined
  /** Completes a destination by what its proxy told on this connection, now or before. */
  learn(connection: ClientConnection, destination: Destination, facts: string | undefined): Destination
}

export interface ExchangeServices {
  readonly timers: TimerWheel
  readonly random: Random
  readonly recorder: Recorder
  readonly mesh: MeshDirectory
  /** What is refused because this process is short of something. */
  readonly overload: Overload
  readonly host: FormatHost
  /** Numbers connections, for logs. */
  nextConnection(): number
  /** Where CONNECT ends. */
  readonly raw: RawDialer
  /** Wall clock, for the log. */
  readonly now: () => number
  ownUri(): string
  self(): Party
}

export interface Destination {
  readonly address: string
  readonly transport: string
  readonly mutualTls: boolean
  readonly peer: Peer | undefined
  readonly party: Party
}

const NOWHERE: Destination = {
  address: '-',
  transport: '-',
  mutualTls: false,
  peer: undefined,
  party: { cluster: '', namespace: '', workload: '', version: '', principal: '' },
}

/** Endpoints, and mesh connections to them, are many requests' destination. */
const destinations = new WeakMap<Endpoint | Dialed, { readonly of: Endpoint; readonly destination: Destination }>()

export function targetOf(state: EndpointState | undefined, dialed: Dialed | undefined): Destination {
  if (state === undefined) return NOWHERE
  const { endpoint } = state
  const key = dialed?.peer === undefined ? endpoint : dialed
  const known = destinations.get(key)
  // A connection may outlive what was said of its endpoint.
  if (known?.of === endpoint) return known.destination
  const destination = createDestination(endpoint, dialed)
  destinations.set(key, { of: endpoint, destination })
  return destination
}

function createDestination(endpoint: Endpoint, dialed: Dialed | undefined): Destination {
  const { cluster, namespace, workload } = endpoint.workload
  return {
    address: `${endpoint.address}:${endpoint.port}`,
    transport: endpoint.transport,
    mutualTls: dialed?.peer !== undefined,
    peer: dialed?.peer,
    party: { cluster, namespace, workload, version: '', principal: dialed?.peer?.uri ?? '' },
  }
}

/** Of the last cluster asked for: most proxies call few. */
let lastCluster = ''
let lastHost = ''

/** `outbound|80||checkout.shop.svc.cluster.local` → the host. */
export function serviceOf(clusterName: string, fallback: string): string {
  if (clusterName !== lastCluster) {
    lastCluster = clusterName
    lastHost = clusterName.split('|')[3] ?? ''
  }
  return lastHost === '' ? fallback : lastHost
}
