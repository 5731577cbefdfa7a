/**
 * Answers joins (POD_IP:15023, reached only through this cluster's gateway by SNI): the one port of the mesh that takes
 * strangers, who have no certificate yet. So it reads one bounded message, answers one, and does both rarely.
 */
import type { TLSSocket } from 'node:tls'
import { joinSni } from '../../src/model/sni.ts'
import { JOIN_EXPORTER_BYTES, JOIN_EXPORTER_LABEL } from '../../src/pki/join-token.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import type { Log } from '../../src/runtime/log.ts'
import { contextOptions, type TrustMaterial } from '../trust/material.ts'
import { JOIN_ALPN, JOIN_TIMEOUT_MS, parseJoinRequest, readFrame, writeFrame, type JoinAnswer } from './join-frame.ts'
import type { JoinIssuer } from './redeem.ts'
import { TlsPort } from './tls-port.ts'

export interface JoinListenerOptions {
  readonly cluster: string
  readonly mesh: string
  readonly address: string
  readonly port: number
  readonly material: TrustMaterial
  readonly issuer: JoinIssuer
  readonly clock: Clock
  readonly log: Log
}

const CONCURRENT_MAX = 16
const BURST = 20
const PER_SECOND = 5

export class JoinListener {
  readonly #options: JoinListenerOptions
  readonly #port: TlsPort
  #tokens = BURST
  #refilledAt: number

  constructor(options: JoinListenerOptions) {
    this.#options = options
    this.#refilledAt = options.clock.monotonic()
    const { address, port, material, clock, log } = options
    this.#port = new TlsPort({
      address,
      port,
      material,
      clock,
      connectionsMax: CONCURRENT_MAX,
      context: () => this.#context(),
      tls: { requestCert: false, ALPNProtocols: [JOIN_ALPN], handshakeTimeout: JOIN_TIMEOUT_MS },
      accept: (socket) => void this.#serve(socket),
      // Every joiner looks at the chain first and hangs up: only worth a line when something is being searched for.
      onHandshakeError: (reason) => log.debug({ reason }, 'join handshake ended'),
    })
  }

  listen(): Promise<number> {
    return this.#port.listen()
  }

  close(): Promise<void> {
    return this.#port.close()
  }

  /** The root comes along: a joiner knows only its hash. */
  #context(): ReturnType<typeof contextOptions> {
    const options = contextOptions(this.#options.material)
    return { ...options, cert: [String(options.cert), ...this.#options.material.roots()].join('') }
  }

  async #serve(socket: TLSSocket): Promise<void> {
    const { cluster, mesh, log } = this.#options
    socket.on('error', (error) => log.debug({ reason: error.message }, 'join connection'))
    if (socket.servername !== joinSni(cluster, mesh) || socket.alpnProtocol !== JOIN_ALPN) return void socket.destroy()
    this.#port.admit(socket, 2 * JOIN_TIMEOUT_MS)
    try {
      writeFrame(socket, await this.#answer(socket))
      socket.end()
    } catch (error) {
      log.info({ reason: MeshError.from(error, 'JOIN_MALFORMED', 'join').message }, 'join connection ended')
      socket.destroy()
    }
  }

  async #answer(socket: TLSSocket): Promise<JoinAnswer> {
    try {
      const frame = await readFrame(socket, this.#options.clock)
      if (!this.#take()) throw new MeshError('JOIN_BUSY', 'too many joins at once')
      const exporter = socket.exportKeyingMaterial(JOIN_EXPORTER_BYTES, JOIN_EXPORTER_LABEL, Buffer.alloc(0))
      return await this.#options.issuer.redeem(parseJoinRequest(frame), exporter)
    } catch (error) {
      const { code, message } = MeshError.from(error, 'INTERNAL', 'the join could not be carried out')
      if (code === 'JOIN_UNREACHABLE') throw error
      return { ok: false, code, message }
    }
  }

  /** Token bucket: guessing a token's id or secret gets five tries a second at most. */
  #take(): boolean {
    const now = this.#options.clock.monotonic()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#refilledAt) / 1_000) * PER_SECOND)
    this.#refilledAt = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
