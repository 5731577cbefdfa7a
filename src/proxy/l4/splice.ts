/**
 * Carries bytes between two sockets without reading them, with back-pressure and half-close in both directions. No
 * streams piped: a pipe would hide which side ended first, and an error on one side leaves the other open.
 */
import type { Socket } from 'node:net'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { Flow } from './flow.ts'
import { resetSocket } from './reset.ts'

export interface SpliceOptions {
  readonly timers: TimerWheel
  /** Both directions silent for so long ends it; 0: never. */
  readonly idleMs: number
  readonly onEnd: (how: SpliceEnd) => void
}

/** `closed`: both sides said so. `client`, `upstream`: that side broke. `cut`: by us. */
export type SpliceEnd = 'closed' | 'client' | 'upstream' | 'idle' | 'cut'

export class Splice {
  readonly #toUpstream: Flow
  readonly #toClient: Flow
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #options: SpliceOptions
  readonly #idle: WheelTimer
  #touched: number
  #clientEnded = false
  #upstreamEnded = false
  #over = false

  constructor(client: Socket, upstream: Socket, options: SpliceOptions) {
    this.#client = client
    this.#upstream = upstream
    this.#options = options
    this.#touched = options.timers.now()
    this.#idle = new WheelTimer(() => this.#silent())
    const touch = (): void => {
      this.#touched = options.timers.now()
    }
    this.#toUpstream = new Flow(client, upstream, touch)
    this.#toClient = new Flow(upstream, client, touch)
    client.on('end', () => this.#clientEnd())
    upstream.on('end', () => this.#upstreamEnd())
    client.on('error', () => this.#end('client'))
    upstream.on('error', () => this.#end('upstream'))
    client.on('close', () => this.#end(this.#clientEnded ? 'closed' : 'client'))
    upstream.on('close', () => this.#end(this.#upstreamEnded ? 'closed' : 'upstream'))
    if (options.idleMs > 0) options.timers.schedule(this.#idle, options.idleMs)
    client.resume()
    upstream.resume()
  }

  get bytesToUpstream(): number {
    return this.#toUpstream.bytes
  }

  get bytesToClient(): number {
    return this.#toClient.bytes
  }

  /** Ends both sides at once. */
  cut(): void {
    this.#end('cut')
  }

  #clientEnd(): void {
    this.#clientEnded = true
    this.#toUpstream.end()
    if (this.#upstreamEnded) this.#end('closed')
  }

  #upstreamEnd(): void {
    this.#upstreamEnded = true
    this.#toClient.end()
    if (this.#clientEnded) this.#end('closed')
  }

  #silent(): void {
    const { timers, idleMs } = this.#options
    const silentMs = timers.now() - this.#touched
    if (silentMs >= idleMs) this.#end('idle')
    else timers.schedule(this.#idle, idleMs - silentMs)
  }

  #end(how: SpliceEnd): void {
    if (this.#over) return
    this.#over = true
    this.#options.timers.cancel(this.#idle)
    finish(this.#client, how, 'upstream')
    finish(this.#upstream, how, 'client')
    this.#options.onEnd(how)
  }
}

/** A break is passed on as a break: an application must not take half of an answer for the whole. */
function finish(socket: Socket, how: SpliceEnd, other: 'client' | 'upstream'): void {
  if (how === 'closed') socket.destroySoon()
  else if (how === other) resetSocket(socket)
  else socket.destroy()
}
