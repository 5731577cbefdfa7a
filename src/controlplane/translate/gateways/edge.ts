/**
 * What a gateway proxy serves, as plain data: the one form that Istio's Gateways and those of Gateway API both become
 * before anything is said in the words of listeners and route tables (edge-config.ts). Which object of a cluster asks
 * for a server, and where its routes lead, is settled before this; nothing here looks at a snapshot.
 */
import type { PathPolicy, Route, RoutedFilters, TcpProxy, TlsVersion } from '../../../model/config.ts'

/** One proxy. The order of servers is their precedence: where two cannot both be, the first is. */
export interface Edge {
  /** Where its ports open. */
  readonly address: string
  readonly servers: readonly EdgeServer[]
  readonly settings: EdgeSettings
}

export interface EdgeSettings {
  /** Proxies in front whose `x-forwarded-for` counts (Istio's `numTrustedProxies`). */
  readonly trustedProxies: number
  /** What becomes of `x-forwarded-client-cert`. Absent: what a client brings is removed, its own certificate is told. */
  readonly clientCertificate?: 'remove' | 'forward' | 'append' | 'always'
  /** Absent: the mesh's default. */
  readonly paths?: PathPolicy
}

/** One port of a Gateway. Several of them may share a port: plaintext HTTP by host, TLS by server name. */
export interface EdgeServer {
  /** `namespace/gateway/server`: tells servers of a proxy apart, and is shown to people. */
  readonly name: string
  /** Where the proxy itself listens; what a Service in front calls it is settled before. */
  readonly port: number
  /**
   * Lower case, at least one: a name, `*.suffix` or `*`. For TLS the server names that come here; for plaintext HTTP the
   * hosts that may be asked for.
   */
  readonly hosts: readonly string[]
  /** Absent: plaintext, or TLS that is not ended here. */
  readonly tls?: EdgeTls
  readonly serves: EdgeHttp | EdgeTcp | EdgePassthrough
}

export interface EdgeHttp {
  readonly kind: 'http'
  /** Those of several servers of one plaintext port are joined; routes for one name keep the order of servers. */
  readonly hosts: readonly EdgeHost[]
  /** Every request for one of the server's hosts is sent to HTTPS instead (301). */
  readonly redirectsToHttps?: true
}

export interface EdgeHost {
  /** Lower case, without port; within the server's hosts. */
  readonly domains: readonly string[]
  /** First match wins. */
  readonly routes: readonly Route[]
  readonly filters?: RoutedFilters
}

/** Bytes; after the handshake where the server has TLS. One such server has a plaintext port for itself. */
export interface EdgeTcp {
  readonly kind: 'tcp'
  readonly to: TcpProxy
}

/** TLS that goes on untouched, by the name its ClientHello gives. What no route names is refused. */
export interface EdgePassthrough {
  readonly kind: 'passthrough'
  readonly routes: readonly EdgeTlsRoute[]
}

export interface EdgeTlsRoute {
  /** As a server's hosts, and within them. */
  readonly hosts: readonly string[]
  readonly to: TcpProxy
}

export interface EdgeTls {
  /** At least one; several are for clients with different algorithms. `mesh`: the gateway's own identity. */
  readonly certificates: readonly EdgeSecret[] | 'mesh'
  /** Whether clients show a certificate; with `mesh` they always do. */
  readonly client: 'none' | 'optional' | 'required'
  /** Who signs theirs. */
  readonly clientRoots?: EdgeSecret
  readonly clientNames?: readonly string[]
  readonly minVersion?: TlsVersion
  readonly maxVersion?: TlsVersion
  /** OpenSSL's names, for TLS 1.2. */
  readonly ciphers?: readonly string[]
  /** SHA-256 of the client's certificate in hex; SHA-256 of its key in base64. */
  readonly clientHashes?: readonly string[]
  readonly clientKeys?: readonly string[]
}

/** A Secret of Kubernetes, and the part of it that is meant. */
export interface EdgeSecret {
  readonly namespace: string
  readonly name: string
  /** Of another namespace, whose owner lets this gateway have it (ReferenceGrant). */
  readonly granted?: true
}

/** Two servers that cannot both be, by their names; what `server` asks for is not served. */
export interface EdgeConflict {
  readonly server: string
  readonly with: string
  readonly port: number
  readonly kind: 'protocol' | 'host' | 'port'
  /** With `host`: which. */
  readonly host?: string
}

/** Names by which proxies ask for a Secret over SDS: Istio's, with the namespace always said. */
export const certificateNameOf = ({ namespace, name }: EdgeSecret): string => `kubernetes://${namespace}/${name}`
/** What clients' certificates are held to: `ca.crt` of the Secret, or of `<name>-cacert` beside it. */
export const rootsNameOf = (secret: EdgeSecret): string => `${certificateNameOf(secret)}-cacert`
