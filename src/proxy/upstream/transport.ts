/**
 * The joint between balancing and connections: a Transport brings requests to one endpoint, whatever lies between
 * (a plain socket, mTLS, or tunnels through a gateway). Types only.
 */
import type { Socket } from 'node:net'
import type { Cancel } from '../../runtime/clock.ts'
import type { Priority } from '../balance/limits.ts'
import type { Peer } from '../identity.ts'
import type { Addresses } from '../l4/proxy-protocol.ts'
import type { ClientConnection, ClientConnectionHandler } from '../stream.ts'

/**
 * Why no connection came about; in every case no byte of the request was sent. `connect`: refused, unreachable or
 * closed during the handshake. `identity`: the server is not who it should be. `tunnel`: the gateway said no.
 */
export interface ConnectFailure {
  readonly kind: 'connect' | 'timeout' | 'identity' | 'tunnel' | 'overflow' | 'closed'
  readonly detail: string
}

/** Who waits for a connection; exactly one of the two is called, perhaps before `acquire` returns. */
export interface Waiter {
  /** Whose limits count; absent: `default`. */
  readonly priority?: Priority | undefined
  /** What its client spoke; for clusters that go by that. */
  readonly speaksHttp2?: boolean
  /** Connections to take only where there is no other. */
  readonly avoids?: (connection: ClientConnection) => boolean
  /** `connection.capacity` is above 0 for the length of this call only. */
  onConnected(connection: ClientConnection): void
  onConnectFailed(failure: ConnectFailure): void
}

/** What an attempt asks of whatever leads to its endpoint. */
export interface Way {
  acquire(waiter: Waiter): void
  /** The waiter no longer wants to be called. */
  abandon(waiter: Waiter): void
}

export interface Transport extends Way {
  /** False while it is known to lead nowhere; balancing then prefers others, and it is probed in the background. */
  readonly usable: boolean
  readonly connections: number
  /** Connections begun and failed so far; absent where nobody counts. */
  readonly account?: { readonly connectionsTotal: number; readonly connectFailures: number }
  /** What a connection leads to; undefined once it is gone. */
  dialedOf(connection: ClientConnection): Dialed | undefined
  /** Why it leads nowhere; empty when nothing is known against it. */
  readonly lastFailure: string
  /** How an exchange over `connection` went. True: the endpoint as a whole answers for it. */
  report(connection: ClientConnection, ok: boolean): boolean
  /** The connection has been silent for too long; what waits on it may be better served elsewhere. */
  suspects(connection: ClientConnection): boolean
  /** Closes connections whose peer is no longer trusted. */
  recheck(trusted: (peer: Peer) => boolean): void
  /** Finishes what is in flight, takes nothing new. */
  close(): void
}

export type DialOutcome =
  | { readonly kind: 'connected'; readonly dialed: Dialed }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }

export interface Dialed {
  readonly connection: ClientConnection
  /** Absent on plain connections. */
  readonly peer: Peer | undefined
  /** Milliseconds until the first of both certificates ends; Infinity on plain connections. */
  readonly lifetimeMs: number
  /** The endpoint behind a gateway, as the gateway named it; empty elsewhere. */
  readonly endpointId: string
  /** The connection this one travels in (tunnels). */
  readonly carrier: ClientConnection | undefined
}

/** Calls `done` exactly once, never before it returned, unless cancelled. */
export type Dial = (handler: ClientConnectionHandler, done: (outcome: DialOutcome) => void) => Cancel

/** Bytes both ways, nothing between them and the endpoint's application. */
export interface OpenStream {
  readonly socket: Socket
  /** Absent on plain connections. */
  readonly peer: Peer | undefined
  /** As in `Dialed`. */
  readonly lifetimeMs: number
  readonly endpointId: string
}

export type StreamOutcome =
  | { readonly kind: 'open'; readonly stream: OpenStream }
  | { readonly kind: 'failed'; readonly failure: ConnectFailure }

/** Calls `done` exactly once, never before it returned, unless cancelled. `client`: for endpoints that want to know. */
export type OpenStreamDial = (done: (outcome: StreamOutcome) => void, client?: Addresses) => Cancel

/** The way to one endpoint for connections whose bytes are not ours to read. */
export interface StreamWay {
  /** As a transport's. */
  readonly usable: boolean
  readonly lastFailure: string
  readonly open: OpenStreamDial
  close(): void
}
