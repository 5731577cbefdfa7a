/**
 * One endpoint in two protocols, for clusters that speak upstream what their client spoke: two pools, one transport.
 */
import type { Peer } from '../identity.ts'
import type { ClientConnection } from '../stream.ts'
import type { Dialed, Transport, Waiter } from './transport.ts'

export class EitherTransport implements Transport {
  readonly #http1: Transport
  readonly #http2: Transport

  constructor(http1: Transport, http2: Transport) {
    this.#http1 = http1
    this.#http2 = http2
  }

  get usable(): boolean {
    return this.#http1.usable && this.#http2.usable
  }

  get connections(): number {
    return this.#http1.connections + this.#http2.connections
  }

  get account(): { readonly connectionsTotal: number; readonly connectFailures: number } {
    const { connectionsTotal = 0, connectFailures = 0 } = this.#http1.account ?? {}
    const other = this.#http2.account
    return {
      connectionsTotal: connectionsTotal + (other?.connectionsTotal ?? 0),
      connectFailures: connectFailures + (other?.connectFailures ?? 0),
    }
  }

  get lastFailure(): string {
    return this.#http1.usable ? this.#http2.lastFailure : this.#http1.lastFailure
  }

  acquire(waiter: Waiter): void {
    this.#of(waiter).acquire(waiter)
  }

  abandon(waiter: Waiter): void {
    this.#of(waiter).abandon(waiter)
  }

  dialedOf(connection: ClientConnection): Dialed | undefined {
    return this.#http1.dialedOf(connection) ?? this.#http2.dialedOf(connection)
  }

  report(connection: ClientConnection, ok: boolean): boolean {
    return this.#having(connection).report(connection, ok)
  }

  suspects(connection: ClientConnection): boolean {
    return this.#having(connection).suspects(connection)
  }

  recheck(trusted: (peer: Peer) => boolean): void {
    this.#http1.recheck(trusted)
    this.#http2.recheck(trusted)
  }

  close(): void {
    this.#http1.close()
    this.#http2.close()
  }

  #of(waiter: Waiter): Transport {
    return waiter.speaksHttp2 === true ? this.#http2 : this.#http1
  }

  #having(connection: ClientConnection): Transport {
    return this.#http2.dialedOf(connection) === undefined ? this.#http1 : this.#http2
  }
}
