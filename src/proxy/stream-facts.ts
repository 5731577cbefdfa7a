/**
 * What may be said about a stream, an HTTP request or a TCP connection, in access logs, header values, local replies
 * and spans: the one interface that Envoy's `%operators%` read. Made only where something configured asks for it; not
 * the record that metrics are counted by (record.ts).
 */
import type { MetadataValue } from '../model/config.ts'
import type { HeaderList, RequestHead } from './message.ts'

/** Of the client's certificate and the handshake; lists are joined with commas. */
export interface TlsFacts {
  readonly version: string
  readonly cipher: string
  readonly peerUriSan: string
  readonly peerDnsSan: string
  readonly peerSubject: string
  readonly peerIssuer: string
  readonly peerSerial: string
  readonly peerFingerprint256: string
  readonly peerNotBeforeMs: number | undefined
  readonly peerNotAfterMs: number | undefined
  readonly localUriSan: string
}

/** What the streams of one downstream connection have in common. Addresses are `ip:port`. */
export interface ConnectionFacts {
  readonly id: number
  /** Of the client, as PROXY protocol or trusted hops tell it. */
  readonly remoteAddress: string
  readonly directRemoteAddress: string
  readonly localAddress: string
  readonly serverName: string
  readonly chainName: string
  readonly tls: TlsFacts | undefined
}

/** Empty texts are what is not known yet, or at all. */
export interface UpstreamFacts {
  readonly cluster: string
  readonly address: string
  readonly localAddress: string
  readonly attempts: number
  /** Why the last connection could not be made. */
  readonly failure: string
}

/** What filters left for the log, by namespace; an empty path is all of it. */
export interface MetadataReader {
  get(namespace: string, path: readonly string[]): MetadataValue | undefined
}

/** The machine that says it. */
export interface FormatHost {
  readonly hostname: string
  /** Wall clock. */
  now(): number
}

export interface StreamFacts {
  readonly connection: ConnectionFacts
  /** As it is now: what filters and rewrites made of it. Undefined: no HTTP. */
  readonly request: RequestHead | undefined
  readonly response: HeaderList | undefined
  readonly trailers: HeaderList | undefined
  readonly protocol: string | undefined
  /** Wall clock. */
  readonly startedAt: number
  /** To the end of the stream, of the request, to the first byte of the answer; undefined: not there yet. */
  readonly durationMs: number | undefined
  readonly requestMs: number | undefined
  readonly responseMs: number | undefined
  /** 0: there was no answer. */
  readonly status: number
  /** Envoy's letters, joined with commas; `-`: none. */
  readonly flags: string
  readonly details: string
  /** Of bodies, without framing; of TCP all there was. */
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly upstream: UpstreamFacts | undefined
  readonly routeName: string
  /** Of an answer of the proxy's own, while its final form is made. */
  readonly localBody?: string
  readonly metadata: MetadataReader | undefined
  readonly traceId: string
  readonly host: FormatHost
}

/** Empty where the socket is gone already. An IPv4 client of an IPv6 socket is shown as what it is. */
export function hostPort(address: string, port: number): string {
  if (address === '') return ''
  const host = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
