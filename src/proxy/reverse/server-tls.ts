/**
 * TLS servers of generic chains, one per set of key material and protocols. As with the mesh's they listen nowhere:
 * sockets are handed over with emit('connection'), because only a tls.Server enforces what it is told about clients.
 */
import { constants, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { ServerTls } from '../../model/config.ts'
import type { Wanted } from './inspect.ts'
import type { Material } from './tls-files.ts'
import { compileJudge, type PeerJudge } from './tls-peer.ts'

/** Envoy's own, for TLS 1.2: forward secrecy and authenticated encryption only. */
export const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:' +
  'ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384'
export const TLS13_CIPHERS = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'
const HANDSHAKE_TIMEOUT_MS = 15_000

export interface Secured {
  readonly socket: TLSSocket
  /** The client's, verified as far as the configuration asks. */
  readonly certificate: X509Certificate | undefined
}

export interface HandshakeHandler {
  readonly secured: (secured: Secured) => void
  /** The socket is gone by then. */
  readonly refused: (reason: string) => void
}

export class ServerTlsContext {
  /** To be known of a connection before its handshake. */
  readonly wanted: Wanted
  readonly #tls: ServerTls
  readonly #material: Material
  readonly #handshakeMs: number
  readonly #judge: PeerJudge
  readonly #waiting = new WeakMap<Socket, HandshakeHandler>()
  #plain: Server | undefined = undefined
  #withAlpn: Server | undefined = undefined

  constructor(tls: ServerTls, material: Material, handshakeMs: number | undefined) {
    this.#tls = tls
    this.#material = material
    this.#handshakeMs = handshakeMs ?? HANDSHAKE_TIMEOUT_MS
    this.wanted = { tls: true, http: false, timeoutMs: this.#handshakeMs, goesOnAfterTimeout: false }
    this.#judge = compileJudge(material.anchors)
  }

  /** `offers`: the client's ALPN. Without one in common the handshake goes on without, as in Envoy. */
  accept(socket: Socket, offers: readonly string[], handler: HandshakeHandler): void {
    const common = this.#tls.alpn.some((name) => offers.includes(name))
    const server = common
      ? (this.#withAlpn ??= this.#create(this.#tls.alpn))
      : (this.#plain ??= this.#create(undefined))
    this.#waiting.set(socket, handler)
    server.emit('connection', socket)
  }

  #create(alpn: readonly string[] | undefined): Server {
    const server = createServer({
      ...secureOptions(this.#tls, this.#material),
      ...this.#clientOptions(),
      ...(alpn !== undefined && { ALPNProtocols: [...alpn] }),
      handshakeTimeout: this.#handshakeMs,
    })
    server.on('secureConnection', (socket) => this.#secured(socket))
    server.on('tlsClientError', (error: Error & { code?: string }, socket) => {
      this.#handlerOf(socket)?.refused(error.code ?? error.message)
      socket.destroy()
    })
    return server
  }

  /** Tickets carry a client's session past the judgement of its certificate; then there are none. */
  #clientOptions(): TlsOptions {
    const { validation, requireClient, noTickets } = this.#tls
    const asks = requireClient || validation !== undefined
    const noTicket = asks || noTickets === true ? constants.SSL_OP_NO_TICKET : 0
    const verifies = this.#material.anchors?.ca !== undefined
    return {
      requestCert: asks,
      rejectUnauthorized: requireClient && verifies,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | noTicket,
    }
  }

  #secured(socket: TLSSocket): void {
    const handler = this.#handlerOf(socket)
    const certificate = socket.getPeerX509Certificate()
    const refusal = this.#refusalOf(socket, certificate)
    if (refusal === undefined) return handler?.secured({ socket, certificate })
    socket.on('error', () => {})
    socket.destroy()
    handler?.refused(refusal)
  }

  #refusalOf(socket: TLSSocket, certificate: X509Certificate | undefined): string | undefined {
    if (certificate === undefined) return this.#tls.requireClient ? 'no client certificate' : undefined
    if (this.#material.anchors?.ca !== undefined && !socket.authorized) return String(socket.authorizationError)
    return this.#judge(certificate)
  }

  /** Node keeps the socket underneath as `_parent`; what it emits is the TLS one. */
  #handlerOf(socket: TLSSocket): HandshakeHandler | undefined {
    const { _parent: parent } = socket as TLSSocket & { readonly _parent?: Socket }
    return parent === undefined ? undefined : this.#waiting.get(parent)
  }
}

/** What both sides of a connection tell OpenSSL about themselves. */
export function secureOptions(
  tls: Pick<ServerTls, 'minVersion' | 'maxVersion' | 'ciphers' | 'curves'>,
  material: Material,
): TlsOptions {
  const { pairs, anchors } = material
  const ciphers = tls.ciphers === undefined ? CIPHERS : tls.ciphers.join(':')
  return {
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key, passphrase }) => (passphrase === undefined ? { pem: key } : { pem: key, passphrase })),
    ...(anchors?.ca !== undefined && { ca: anchors.ca }),
    minVersion: tls.minVersion,
    maxVersion: tls.maxVersion,
    ciphers: `${TLS13_CIPHERS}:${ciphers}`,
    ecdhCurve: (tls.curves ?? ['X25519', 'P-256']).join(':'),
  }
}
