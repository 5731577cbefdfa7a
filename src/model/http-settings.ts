/**
 * What an HTTP connection manager may be told beyond routes and filters; absent fields are Envoy's defaults. Part of
 * config.ts, which exports it.
 */
export interface HttpSettings {
  /** Absent: whatever ALPN or the first bytes say. */
  readonly codec?: 'http1' | 'http2'
  /** HTTP/2 clients may use CONNECT, extended CONNECT too. */
  readonly allowConnect?: true
  /** HTTP/1.0 is served; otherwise 426. */
  readonly http10?: true
  /** `Expect: 100-continue` is the endpoint's to answer; otherwise we do, as soon as the head is there. */
  readonly proxyContinue?: true
  /** HTTP/1.1 trailers pass; otherwise they end here. */
  readonly trailers?: true

  /** Of the `server` field; absent: envoy. */
  readonly serverName?: string
  /** What becomes of an endpoint's own. Absent: it is replaced. */
  readonly serverHeader?: 'append-if-absent' | 'pass-through'
  /** Appended to `via`, both ways. */
  readonly via?: string
  /** Whether the connection tells who the client is, or what the client says about itself. */
  readonly useRemoteAddress?: true
  readonly skipXffAppend?: true
  /** Proxies in front of us whose words count. */
  readonly trustedHops?: number
  readonly forwardedPort?: true
  /** Requests without an id get none. */
  readonly generateRequestId?: false
  /** With `useRemoteAddress` a client's id is otherwise replaced. */
  readonly preserveRequestId?: true
  readonly requestIdInResponse?: true
  /** Of the host: `matching` the listener's port only. */
  readonly stripPort?: 'matching' | 'any'
  readonly stripTrailingDot?: true
  /** Field names with underscores; absent: they pass. */
  readonly underscores?: 'reject' | 'drop'
  readonly clientCertificate?: ForwardedCertificate

  /** Without a byte on a stream; 0: none. For routes that say nothing. */
  readonly streamIdleMs?: number
  /** Between the word that a connection is to end and its end; absent: 5 s. */
  readonly drainMs?: number
  /** Until a request is whole; 0: none. */
  readonly requestMs?: number
  /** Until a request's head is whole; 0: none. */
  readonly requestHeadMs?: number
  /** Of a connection between two requests; 0: none. */
  readonly idleMs?: number
  readonly connectionMaxMs?: number
  /** Of a whole exchange, for routes that say nothing. */
  readonly streamMaxMs?: number
  readonly requestsMax?: number
  readonly headersMax?: number
  readonly headBytesMax?: number
  readonly streamsMax?: number
  readonly streamWindowBytes?: number
  readonly connectionWindowBytes?: number
}

/** `x-forwarded-client-cert`. Absent: what a client brings is removed. */
export interface ForwardedCertificate {
  /** `forward` and `append` believe a client that showed a certificate; `always` any. `set` starts anew. */
  readonly mode: 'forward' | 'append' | 'set' | 'always'
  /** Of the client's certificate, besides its hash. */
  readonly subject?: true
  readonly cert?: true
  readonly dns?: true
  readonly uri?: true
}
