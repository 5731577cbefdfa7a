/**
 * The outer half of a tunnel: a connection to the peer's gateway, and on it a CONNECT stream to an endpoint of the
 * service. What is spoken inside (requests over HTTP/2, or an application's bytes) is not known here.
 */
import type { Duplex } from 'node:stream'
import type { Tunnel } from '../../model/config.ts'
import { openTunnel } from '../h2/tunnel.ts'
import { headerOf, LENGTH_UNKNOWN, type RequestHead } from '../message.ts'
import type { ClientConnection } from '../stream.ts'
import { WheelTimer } from '../timer-wheel.ts'
import type { DialContext, Target } from './dial.ts'
import type { ConnectFailure, Waiter } from './transport.ts'
import type { GatewayLink } from './tunnel.ts'

const AVOID_IDS_MAX = 32 // wire contract
const WIRE_VERSION = '1'

export interface OpenedTunnel {
  readonly kind: 'open'
  readonly carrier: ClientConnection
  readonly duplex: Duplex
  /** As the gateway named it. */
  readonly endpointId: string
}

export type OpeningOutcome = OpenedTunnel | { readonly kind: 'failed'; readonly failure: ConnectFailure }

export interface OpeningOptions {
  readonly context: DialContext
  readonly link: GatewayLink
  readonly target: Target
  /** Read at every use: the number of endpoints behind the gateway changes while tunnels live on. */
  readonly tunnel: () => Tunnel
  /** Ids of endpoints that the gateway should not choose. */
  readonly avoided: () => readonly string[]
  /** Carriers to take only where there is no other. */
  readonly avoids?: (carrier: ClientConnection) => boolean
}

/** Two steps, each with its own deadline, cancellable in both. */
export class TunnelOpening implements Waiter {
  readonly #options: OpeningOptions
  readonly #timer: WheelTimer
  #done: (outcome: OpeningOutcome) => void = () => {}
  #over = false
  #cancelStep: () => void
  readonly avoids: (carrier: ClientConnection) => boolean

  constructor(options: OpeningOptions) {
    this.#options = options
    this.avoids = options.avoids ?? (() => false)
    this.#cancelStep = () => options.link.pool.abandon(this)
    this.#timer = new WheelTimer(() =>
      this.#fail({ kind: 'timeout', detail: `the gateway opened no tunnel within ${options.target.timeoutMs} ms` }),
    )
  }

  /** `done` is called once, never before this returned, unless cancelled. */
  start(done: (outcome: OpeningOutcome) => void): void {
    this.#done = done
    // A pool may answer at once.
    queueMicrotask(() => {
      if (!this.#over) this.#options.link.pool.acquire(this)
    })
  }

  cancel(): void {
    this.#over = true
    this.#options.context.timers.cancel(this.#timer)
    this.#cancelStep()
  }

  onConnectFailed(failure: ConnectFailure): void {
    this.#fail(failure)
  }

  onConnected(carrier: ClientConnection): void {
    this.#cancelStep = () => {}
    const { timers } = this.#options.context
    timers.schedulePatiently(this.#timer, this.#options.target.timeoutMs)
    openTunnel(carrier, this.#connectHead(), (outcome) => {
      timers.cancel(this.#timer)
      if (this.#over) return outcome.kind === 'open' ? void outcome.duplex.destroy() : undefined
      if (outcome.kind === 'failed') {
        return this.#fail({ kind: 'connect', detail: `the gateway's connection failed (${outcome.reason})` })
      }
      if (outcome.kind === 'refused') {
        const code = headerOf(outcome.head.headers, 'isthmus-error') ?? 'no code'
        return this.#fail({ kind: 'tunnel', detail: `the gateway answered ${outcome.head.status} (${code})` })
      }
      this.#over = true
      const endpointId = headerOf(outcome.head.headers, 'isthmus-endpoint') ?? ''
      return this.#done({ kind: 'open', carrier, duplex: outcome.duplex, endpointId })
    })
  }

  #connectHead(): RequestHead {
    const avoid = this.#options.avoided().slice(0, AVOID_IDS_MAX).join(',')
    const headers = ['isthmus-version', WIRE_VERSION]
    if (avoid !== '') headers.push('isthmus-avoid', avoid)
    const { authority } = this.#options.tunnel()
    return { method: 'CONNECT', scheme: '', authority, path: '', protocol: '', headers, bodyLength: LENGTH_UNKNOWN }
  }

  #fail(failure: ConnectFailure): void {
    if (this.#over) return
    this.#over = true
    this.#done({ kind: 'failed', failure })
  }
}
