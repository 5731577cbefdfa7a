/**
 * One exchange as the core sees it, the same over HTTP/1.1 and HTTP/2: a ServerStream came in, a ClientStream goes
 * out, and the sinks are what the core hangs on them. The two sinks share no method name, so that one object can be
 * both ends of an exchange. No promises: every call is synchronous and writes are gathered until the end of the
 * event-loop turn (h1/turn.ts).
 *
 * Back-pressure, in both directions and on both protocols: `pause()` asks the peer to stop; what is in flight (at most
 * one socket read, or the stream's window) may still be delivered. `write()` always takes the chunk and answers false
 * when the caller should stop until `…Drain`. A chunk belongs to the receiver and must not be changed after a write.
 */
import type { Socket } from 'node:net'
import type { HeaderList, RequestHead, ResponseHead } from './message.ts'

/**
 * Why a stream ended early. `refused`: the peer has certainly not acted on it (REFUSED_STREAM, beyond GOAWAY's last
 * stream, never written): safe to try elsewhere. `reset`: the peer cancelled. `lost`: the connection closed under it.
 * `protocol`: the message broke the protocol. `timeout`: one of the codec's own limits in time. `limit`: a limit in
 * size or count. `local`: our own side destroyed the connection. `http1-required`: the peer wants HTTP/1.1.
 */
export type ResetReason = 'refused' | 'reset' | 'lost' | 'protocol' | 'timeout' | 'limit' | 'local' | 'http1-required'

/** What `reset` tells the peer: on HTTP/2 the error code, on HTTP/1.1 always the end of the connection. */
export type ResetCode = 'cancel' | 'refused' | 'internal' | 'protocol' | 'connect-error' | 'no-error' | 'overload'

/** Receives a request's body. After `onRequestReset` or once both directions ended, nothing more is called. */
export interface RequestSink {
  onRequestData(chunk: Buffer): void
  /** `trailers` is empty when there were none. */
  onRequestEnd(trailers: HeaderList): void
  onRequestReset(reason: ResetReason): void
  /** After a `write` that answered false: the caller may go on. */
  onResponseDrain(): void
}

/** Receives a response. `onResponse` comes at most once, before any data. */
export interface ResponseSink {
  /** 1xx other than 101. */
  onInformational(head: ResponseHead): void
  /** `end`: there is no body and `onResponseEnd` is not called. */
  onResponse(head: ResponseHead, end: boolean): void
  onResponseData(chunk: Buffer): void
  onResponseEnd(trailers: HeaderList): void
  onResponseReset(reason: ResetReason): void
  onRequestDrain(): void
}

export interface ServerStream {
  readonly head: RequestHead
  /** True when the request has no body: `onRequestEnd` will not be called. */
  readonly headOnly: boolean
  readonly version: 'HTTP/1.1' | 'HTTP/2'
  /** To be set inside `onRequest`; until then calls go nowhere. */
  sink: RequestSink
  /** Header and body bytes as counted for the access log; no framing. */
  readonly bytesReceived: number
  readonly bytesSent: number
  pause(): void
  /** Also sends `100 Continue` when the client waits for one and nothing was answered yet. */
  resume(): void
  /** 1xx other than 101. */
  informational(head: ResponseHead): void
  /**
   * Sends the response's head. To accept CONNECT answer 2xx and to accept an upgrade 101, both with `end` false: from
   * then on data in both directions is the tunnel's bytes and `end()` closes our half. `head.headers` is not kept.
   */
  respond(head: ResponseHead, end: boolean): void
  write(chunk: Buffer): boolean
  /** As `write`, for a chunk that a read brought and nobody else holds: its memory is released when it is written. */
  give(chunk: Buffer): boolean
  end(trailers?: HeaderList): void
  /** Ends the exchange at once; the sink hears nothing more. */
  reset(code: ResetCode): void
  /**
   * HTTP/1.1, after an accepted CONNECT or upgrade: gives up the socket, paused, for a splice without a codec in
   * between, with the bytes already read (to be handled first). Undefined on HTTP/2, where the stream is the pipe.
   */
  detach(): Detached | undefined
}

export interface Detached {
  readonly socket: Socket
  readonly head: Buffer
}

export interface ClientStream {
  readonly bytesReceived: number
  readonly bytesSent: number
  pause(): void
  resume(): void
  write(chunk: Buffer): boolean
  end(trailers?: HeaderList): void
  reset(code: ResetCode): void
}

/** Why a connection ended: by itself and cleanly, or through which fault. */
export type CloseReason = 'closed' | 'idle' | 'drained' | 'lost' | 'protocol' | 'timeout' | 'flood' | 'local'

export interface ServerConnectionHandler {
  onRequest(stream: ServerStream): void
  /** A message was refused by the codec itself; the connection closes. For counters and the log. */
  onRefused(status: number, detail: string): void
  onClose(reason: CloseReason, detail: string): void
}

export interface ServerConnection {
  /** Requests in progress. */
  readonly activeStreams: number
  /** Finishes what is in flight, then closes: `Connection: close`, or GOAWAY. */
  drain(): void
  destroy(reason: CloseReason): void
}

export interface ClientConnectionHandler {
  /** `capacity` rose from 0, or HTTP/2's settings arrived. */
  onCapacity(connection: ClientConnection): void
  /** The last stream ended. A pool starts its idle timer here. */
  onIdle(connection: ClientConnection): void
  /** No new request will be taken (GOAWAY, `Connection: close`); streams in progress go on. */
  onDraining(connection: ClientConnection): void
  /** It began to carry a body that small requests would wait behind, or no longer does. */
  onBulk?(connection: ClientConnection, bulky: boolean): void
  onClose(connection: ClientConnection, reason: CloseReason, detail: string): void
}

export interface ClientConnection {
  readonly activeStreams: number
  /** How many requests it would take now; 0 when closed or draining. */
  readonly capacity: number
  /** Our end, `ip:port`; empty once the socket is gone. */
  readonly localAddress?: string
  /** Bytes written and not yet taken by the kernel. */
  readonly bufferedBytes: number
  /** Large bodies under way, those of connections that travel in this one included; absent where nothing is shared. */
  readonly bulkStreams?: number
  /** A connection that travels in this one begins to carry large bodies, or stops. */
  addBulk?(change: 1 | -1): void
  /**
   * Sends a request; call only while `capacity` > 0. `end`: there is no body. CONNECT: `head.method` = CONNECT;
   * upgrades: `head.protocol` set. The sink is never called before this returns. `head` is not kept.
   */
  request(head: RequestHead, end: boolean, sink: ResponseSink): ClientStream
  drain(): void
  destroy(reason: CloseReason): void
}
