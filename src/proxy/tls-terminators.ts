/**
 * The TLS servers behind a listener's port, one per set of protocols. They listen nowhere: accepted sockets are handed
 * over with emit('connection'), because only a tls.Server enforces that the client's certificate verifies; a bare
 * server-side TLSSocket does not.
 */
import { constants } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls'

const HANDSHAKE_TIMEOUT_MS = 10_000
/** Without tickets and without a session store nothing can be resumed. */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION

export interface TerminatorHandler {
  readonly secured: (socket: TLSSocket, listener: string) => void
  readonly refused: (reason: string) => void
}

export class TlsTerminators {
  readonly #handler: TerminatorHandler
  readonly #servers = new Map<string, Server>()
  #options: SecureContextOptions | undefined

  constructor(handler: TerminatorHandler) {
    this.#handler = handler
  }

  /** Handshakes from now on use these; connections under way keep theirs. */
  rekey(options: SecureContextOptions | undefined): void {
    this.#options = options
    if (options === undefined) return
    for (const server of this.#servers.values()) server.setSecureContext({ ...options, secureOptions: SECURE_OPTIONS })
  }

  /** False: there is no certificate yet. */
  accept(socket: Socket, listener: string, alpn: readonly string[]): boolean {
    const options = this.#options
    if (options === undefined) return false
    const key = `${listener}|${alpn.join(',')}`
    const server = this.#servers.get(key) ?? this.#create(options, listener, alpn)
    this.#servers.set(key, server)
    server.emit('connection', socket)
    return true
  }

  #create(options: SecureContextOptions, listener: string, alpn: readonly string[]): Server {
    const server = createServer({
      ...options,
      secureOptions: SECURE_OPTIONS,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [...alpn],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    })
    server.on('secureConnection', (socket) => this.#handler.secured(socket, listener))
    server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
      this.#handler.refused(error.code ?? error.message)
      socket.destroy()
    })
    return server
  }
}
