/** Settings of the HTTP/2 codec and what only HTTP/2 connections can do; the rest is ../stream.ts. */
import type { Duplex } from 'node:stream'
import type { ResponseHead } from '../message.ts'
import type { ClientConnection, ResetReason } from '../stream.ts'
import type { TimerWheel } from '../timer-wheel.ts'

export interface H2Limits {
  /** SETTINGS_MAX_CONCURRENT_STREAMS we announce, and the most we open whatever the peer allows. */
  readonly streamsMax: number
  /** SETTINGS_INITIAL_WINDOW_SIZE: what a peer may send on a stream before we consume it. */
  readonly streamWindowBytes: number
  /** What the window of a stream grows to whose reader keeps taking whole windows. Equal: it stays as it is. */
  readonly streamWindowMaxBytes: number
  readonly connectionWindowBytes: number
  /** What streams that nobody reads may hold together before they hold up the others. */
  readonly connectionHeldBytesMax: number
  /** SETTINGS_MAX_FRAME_SIZE, and the most we send to a peer that takes as much. */
  readonly frameBytesMax: number
  /** Fields in one head. */
  readonly headersMax: number
  /** SETTINGS_MAX_HEADER_LIST_SIZE: names, values and 32 bytes per field. */
  readonly headerListBytesMax: number
  /** SETTINGS_HEADER_TABLE_SIZE, for both directions. */
  readonly headerTableBytes: number
  /** The preface and first SETTINGS must be complete by then. */
  readonly handshakeTimeoutMs: number
  /** Server: no stream for this long closes the connection. 0: none. */
  readonly idleTimeoutMs: number
  /** No body byte in either direction on a stream. 0: none (tunnels). */
  readonly streamIdleTimeoutMs: number
  /** `write` answers false above this many bytes queued on the stream. */
  readonly streamWriteHighBytes: number
  /** Bytes handed to the socket before streams wait for their turn: keeps a bulk stream from delaying small ones. */
  readonly connectionWriteHighBytes: number
}

export const H2_LIMITS: H2Limits = {
  streamsMax: 1_000, // Envoy 100 at the edge, Go 250, Hyper 200; mesh connections multiplex a whole pod
  streamWindowBytes: 256 * 1024,
  streamWindowMaxBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
  connectionHeldBytesMax: 64 * 1024 * 1024,
  frameBytesMax: 64 * 1024, // one read of a socket; every cut is a copy and a chunk of its own at the next hop
  headersMax: 100,
  headerListBytesMax: 60 * 1024,
  headerTableBytes: 4_096,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 3_600_000,
  streamIdleTimeoutMs: 300_000,
  streamWriteHighBytes: 256 * 1024,
  connectionWriteHighBytes: 128 * 1024,
}

/** Requests from another cluster: 256 KiB on the way would be 3.6 MB/s at 70 ms. */
export const H2_FAR_LIMITS: H2Limits = {
  ...H2_LIMITS,
  streamWindowBytes: 256 * 1024, // a tunnel may grow; what nobody reads stays small
  streamWindowMaxBytes: 8 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  connectionHeldBytesMax: 32 * 1024 * 1024, // of many: large bodies do not share one
}

/** Tunnels carry whole connections over long distances: 64 KiB would give 0.88 MB/s at 70 ms, 4 MiB half of what TCP gives. */
export const H2_TUNNEL_LIMITS: H2Limits = {
  ...H2_LIMITS,
  streamWindowBytes: 256 * 1024, // a tunnel may grow; what nobody reads stays small
  streamWindowMaxBytes: 8 * 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  connectionHeldBytesMax: 32 * 1024 * 1024, // of many: large bodies do not share one
  streamIdleTimeoutMs: 0,
  streamWriteHighBytes: 1024 * 1024,
  connectionWriteHighBytes: 512 * 1024,
}

/** What one connection may cost us; at a budget's end it gets GOAWAY(ENHANCE_YOUR_CALM). Origins: Envoy's figures. */
export interface H2Budgets {
  /** Answers we owe (SETTINGS and PING acknowledgements, RST_STREAM) while the peer does not read. */
  readonly controlFramesQueuedMax: number
  /** Frames of any kind waiting for the peer to read. */
  readonly framesQueuedMax: number
  /** Empty DATA or HEADERS without END_STREAM, in a row. */
  readonly emptyFramesMax: number
  /** PRIORITY frames: this many plus this many per opened stream. */
  readonly priorityPerStream: number
  /** WINDOW_UPDATE frames: this many per DATA frame we sent, plus a fixed allowance. */
  readonly windowUpdatesPerData: number
  readonly continuationsMax: number
  /** Once this many streams closed, half of them reset before an answer within a second of opening ends it. */
  readonly rapidResetStreams: number
  /** SETTINGS, PING and RST_STREAM taken together: a bucket, and its refill per second. */
  readonly controlBurst: number
  readonly controlPerSecond: number
}

export const H2_BUDGETS: H2Budgets = {
  controlFramesQueuedMax: 1_000,
  framesQueuedMax: 10_000,
  emptyFramesMax: 1,
  priorityPerStream: 100,
  windowUpdatesPerData: 10,
  continuationsMax: 512,
  rapidResetStreams: 500,
  controlBurst: 1_000,
  controlPerSecond: 33,
}

export interface H2ServerOptions {
  readonly limits: H2Limits
  readonly budgets: H2Budgets
  readonly timers: TimerWheel
  /** Announces SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441). */
  readonly extendedConnect: boolean
}

export interface H2ClientOptions {
  readonly limits: H2Limits
  readonly budgets: H2Budgets
  readonly timers: TimerWheel
}

export interface H2Client extends ClientConnection {
  /** The peer's SETTINGS have arrived. Requests may be sent before: up to 100 until it says otherwise. */
  readonly ready: boolean
  /** The peer announced RFC 8441; without it an upgrade request is reset with `http1-required`. */
  readonly extendedConnect: boolean
  /** Monotonic milliseconds when the last byte arrived: silence is measured from here. */
  readonly lastReadAt: number
  /** Sends a PING; one at a time (false: one is under way). No answer is the caller's timeout to notice. */
  ping(done: (rttMs: number) => void): boolean
}

/** How an attempt to open a tunnel ended (see tunnel.ts). */
export type TunnelOutcome =
  /** `duplex` is ready for `tls.connect({ socket: duplex })`; back-pressure reaches the stream's window. */
  | { readonly kind: 'open'; readonly duplex: Duplex; readonly head: ResponseHead }
  /** The gateway answered with something other than success. */
  | { readonly kind: 'refused'; readonly head: ResponseHead }
  | { readonly kind: 'failed'; readonly reason: ResetReason }

/** What a splice carried, and which side ended it first. */
export interface SpliceResult {
  readonly bytesToSocket: number
  readonly bytesToStream: number
  readonly ended: 'both' | 'stream-reset' | 'socket-error'
}
