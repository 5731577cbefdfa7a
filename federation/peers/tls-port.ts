/**
 * The shell of the two ports that peers reach: a TLS server whose context follows the trust material, and the sockets
 * it has let in, each with an end. Who is let in is decided by the port's owner.
 */
import type { SecureContextOptions } from 'node:tls'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Clock } from '../../src/runtime/clock.ts'
import { listen } from '../../src/runtime/listen.ts'
import type { TrustMaterial } from '../trust/material.ts'

export interface TlsPortOptions {
  readonly address: string
  readonly port: number
  readonly material: TrustMaterial
  readonly clock: Clock
  readonly connectionsMax: number
  /** Of the material as it is now; asked again whenever it changes. */
  readonly context: () => SecureContextOptions
  readonly tls: TlsOptions
  readonly accept: (socket: TLSSocket) => void
  readonly onHandshakeError: (reason: string) => void
}

/** The longest a timer of Node waits. */
const TIMER_MS_MAX = 2 ** 31 - 1

export class TlsPort {
  readonly #options: TlsPortOptions
  readonly #server: Server
  readonly #sockets = new Set<TLSSocket>()
  readonly #unsubscribe: () => void

  constructor(options: TlsPortOptions) {
    this.#options = options
    const { context, tls, connectionsMax, material, accept } = options
    this.#server = createServer({ ...context(), ...tls }, accept)
    this.#server.maxConnections = connectionsMax
    this.#server.on('tlsClientError', (error) => options.onHandshakeError(error.message))
    this.#unsubscribe = material.onChange(() => this.#server.setSecureContext(context()))
  }

  listen(): Promise<number> {
    const { address, port } = this.#options
    return listen(this.#server, { host: address, port })
  }

  /** Let in, for `leftMs` at most. */
  admit(socket: TLSSocket, leftMs: number): void {
    this.#sockets.add(socket)
    const cancel = this.#options.clock.after(Math.min(Math.max(leftMs, 0), TIMER_MS_MAX), () => socket.destroy())
    socket.once('close', () => {
      cancel()
      this.#sockets.delete(socket)
    })
  }

  /** `before` the last connections are cut, and after no new one can come. */
  async close(before: () => void = () => {}): Promise<void> {
    this.#unsubscribe()
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()))
    before()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
