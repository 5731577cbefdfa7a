/**
 * Listeners as plain data. Those of the mesh say no more than the mesh needs; a `generic` one is what an Envoy
 * configuration of someone's own making asks for. Part of config.ts, which exports it.
 */
import type { AccessLog } from './access-log.ts'
import type { InternalListener } from './envoy.ts'
import type { Tracing } from './tracing.ts'
import type { ListedFilter } from './filters.ts'
import type { HttpSettings } from './http-settings.ts'
import type { LocalReplyPolicy } from './local-reply.ts'
import type { PathPolicy, PrincipalRule, RouteTable } from './route.ts'
import type { ConnectionRules, NetworkFilter, ProxyProtocol, TcpProxy } from './tcp.ts'
import type { ServerTls } from './tls.ts'
import type { Upgrade } from './upgrade.ts'

export interface Listener {
  readonly name: string
  readonly address: string
  readonly port: number
  /** First match wins, most specific server name first; no match closes the connection with `unrecognized_name`. */
  readonly chains: readonly FilterChain[]
  /** Connections come here redirected by the kernel; where they wanted to go chooses the chain. */
  readonly capture?: Capture
  /** Everything about a listener that is not the mesh's own; then `chains` is empty. */
  readonly generic?: GenericListener
  /** For gRPC clients, who listen nowhere and only look up where calls go; no proxy runs it. */
  readonly api?: { readonly rds: string }
  /** For Envoy only. */
  readonly internal?: InternalListener
  /** A line per connection, at its end. */
  readonly accessLogs?: readonly AccessLog[]
}

export interface Capture {
  readonly direction: 'outbound' | 'inbound'
  /** How long the client may take to speak where the protocol is not declared; then it counts as not HTTP. */
  readonly detectMs: number
}

/** Cluster of a TCP proxy on a captured listener: the connection's own destination. */
export const PASSTHROUGH_CLUSTER = 'PassthroughCluster'

/** Istio's name of the virtual host for everything that the mesh does not know, where that may pass. */
export const ANY_HOST = 'allow_any'

export interface FilterChain {
  readonly name: string
  /** Exact lower-case server names; empty matches any. Needs TLS at the listener. */
  readonly serverNames: readonly string[]
  /** Captured listeners only: original destinations of the chain; without addresses any at the port. Absent: the rest. */
  readonly destinations?: { readonly addresses: readonly string[]; readonly port: number }
  /** Captured listeners only: the chain is for what begins like HTTP. Absent: for anything, or for what does not. */
  readonly protocol?: 'http'
  /** Only for clients that offer one of these in the ClientHello; before a chain of the same name without. */
  readonly applicationProtocols?: readonly string[]
  /** Absent: plaintext, or TLS passed through untouched when `filter` is `tcp`. */
  readonly tls?: DownstreamTls
  /** Who may use the chain at all, judged by the client's certificate. Absent: anyone the TLS context admits. */
  readonly allow?: PrincipalRule
  /** After that, whoever came: before a byte is carried. Rules of captured and mesh chains know the peer and the destination. */
  readonly network?: readonly ConnectionRules[]
  readonly filter: HttpFilterChain | TcpProxy
}

/** TLS 1.3 only; the client certificate is always required and checked against `validation`. */
export interface DownstreamTls {
  readonly certificate: string
  readonly validation: string
  readonly alpn: readonly string[]
  /** For Envoy only: its agent has what is named here. */
  readonly secrets?: 'agent'
  /**
   * For Envoy only: `allow` of the chain, judged in the handshake. Its filter for that judges the client's first byte, and
   * a server that speaks first would have spoken by then.
   */
  readonly admits?: PrincipalRule
}

/** As Envoy has it: listener filters look at the first bytes, the most specific chain serves, no chain closes. */
export interface GenericListener {
  readonly inspect: Inspection
  readonly chains: readonly GenericChain[]
  /** For what no chain matches. */
  readonly defaultChain?: GenericChain
}

/** What the listener filters find out before a chain is chosen. */
export interface Inspection {
  /** Read and taken away before anything else. */
  readonly proxyProtocol?: ProxyProtocol
  readonly tls?: true
  readonly http?: true
  /** 0: no limit. Absent: 15 s. */
  readonly timeoutMs?: number
  /** What did not come in time counts as not there; otherwise the connection closes. */
  readonly goOnAfterTimeout?: true
}

export interface GenericChain {
  readonly name: string
  /** Absent: anything. */
  readonly match?: ChainMatch
  readonly tls?: ServerTls
  /** For the handshake. Absent: no limit but the listener's own of ten seconds. */
  readonly handshakeMs?: number
  /** After the handshake, before a byte is read. */
  readonly network?: readonly NetworkFilter[]
  readonly filter: HttpFilterChain | TcpProxy
}

/** All that is there has to hold; where several chains match, Envoy's order of criteria decides. */
export interface ChainMatch {
  readonly destinationPort?: number
  readonly destinations?: readonly CidrRange[]
  /** Lower case; `*.suffix` is a wildcard. */
  readonly serverNames?: readonly string[]
  readonly transport?: 'tls' | 'raw_buffer'
  readonly applicationProtocols?: readonly string[]
  readonly sourceType?: 'local' | 'external'
  readonly sources?: readonly CidrRange[]
  readonly sourcePorts?: readonly number[]
}

export interface CidrRange {
  readonly address: string
  readonly bits: number
}

export interface HttpFilterChain {
  readonly kind: 'http'
  readonly statPrefix: string
  /**
   * `forward`: absolute-form requests of local apps. `inbound`: to the local app. `tunnel`: CONNECT streams are
   * spliced. `reverse`: any generic listener, with Envoy's treatment of headers and answers.
   */
  readonly mode: 'forward' | 'inbound' | 'tunnel' | 'reverse'
  readonly routes: { readonly rds: string } | RouteTable
  /** For Envoy only: it is told what our proxy does by itself. */
  readonly envoy?: true
  /** Absent: DEFAULT_PATHS in the mesh, untouched paths in mode `reverse`. */
  readonly paths?: PathPolicy
  /** In the order requests meet them. Absent: DEFAULT_FILTERS. */
  readonly filters?: readonly ListedFilter[]
  /** Instead of the line that a proxy of the mesh writes by itself. */
  readonly accessLogs?: readonly AccessLog[]
  /** Absent: trace contexts pass through untouched. */
  readonly tracing?: Tracing
  /** Absent: MESH_UPGRADES in the mesh, none in mode `reverse`. */
  readonly upgrades?: readonly Upgrade[]
  /** With mode `reverse` only. */
  readonly http?: HttpSettings
  /** With mode `reverse` only. */
  readonly localReply?: LocalReplyPolicy
}
