/**
 * Takes the streams that peers dial (POD_IP:15022, reached only through this cluster's gateway by SNI). The client
 * must show a certificate of the mesh whose identity is exactly the federation controller of a peer that a ClusterPeer
 * names: any workload of a peer carries its trust domain, so the trust domain alone opens nothing.
 */
import * as grpc from '@grpc/grpc-js'
import type { TLSSocket } from 'node:tls'
import { federationSni } from '../../src/model/sni.ts'
import { verifyLeaf } from '../../src/pki/verify.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Log } from '../../src/runtime/log.ts'
import { contextOptions, federationId, type TrustMaterial } from '../trust/material.ts'
import { CHANNEL_OPTIONS, callChannel, STREAM_METHOD } from './grpc-channel.ts'
import type { Channel, ChannelEvents } from './message.ts'
import { TlsPort } from './tls-port.ts'

export interface PeerListenerOptions {
  readonly cluster: string
  readonly mesh: string
  readonly address: string
  readonly port: number
  readonly material: TrustMaterial
  readonly clock: Clock
  readonly log: Log
  /** Trust domains of the peers that ClusterPeers name, to the link that takes their streams. */
  readonly accept: (trustDomain: string) => ((channel: Channel) => ChannelEvents) | undefined
  readonly refused: (identity: string) => void
}

const HANDSHAKE_MS = 10_000
const CONNECTIONS_MAX = 512

export class PeerListener {
  readonly #options: PeerListenerOptions
  readonly #port: TlsPort
  readonly #grpc: grpc.Server

  constructor(options: PeerListenerOptions) {
    this.#options = options
    this.#grpc = new grpc.Server({ ...CHANNEL_OPTIONS, 'grpc.max_concurrent_streams': 4 })
    this.#grpc.addService({ stream: STREAM_METHOD }, { stream: (call: Stream) => this.#stream(call) })
    // Own TLS server, so that rotation swaps the context and the identity is judged before gRPC sees a byte.
    const injector = this.#grpc.createConnectionInjector(grpc.ServerCredentials.createInsecure())
    const { address, port, material, clock, log } = options
    this.#port = new TlsPort({
      address,
      port,
      material,
      clock,
      connectionsMax: CONNECTIONS_MAX,
      context: () => contextOptions(material),
      tls: { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'], handshakeTimeout: HANDSHAKE_MS },
      accept: (socket) => {
        if (this.#admit(socket)) injector.injectConnection(socket)
        else socket.destroy()
      },
      onHandshakeError: (reason) => log.info({ reason }, 'peer handshake refused'),
    })
  }

  listen(): Promise<number> {
    return this.#port.listen()
  }

  close(): Promise<void> {
    return this.#port.close(() => this.#grpc.forceShutdown())
  }

  #admit(socket: TLSSocket): boolean {
    const { cluster, mesh, clock, log, material } = this.#options
    socket.on('error', (error) => log.debug({ reason: error.message }, 'peer connection'))
    const leaf = verifyLeaf(socket.getPeerX509Certificate()?.raw, { nowMs: clock.now() })
    const named = socket.servername === federationSni(cluster, mesh) && socket.alpnProtocol === 'h2'
    const identity = leaf.ok ? leaf.leaf.uri : leaf.detail
    if (!named || !leaf.ok || this.#acceptorOf(leaf.leaf.uri, leaf.leaf.id.trustDomain) === undefined) {
      log.warn({ identity, serverName: socket.servername, code: 'PEER_IDENTITY' }, 'peer stream refused')
      this.#options.refused(identity)
      return false
    }
    this.#port.admit(socket, Math.min(leaf.leaf.notAfterMs, material.certificate()?.notAfterMs ?? 0) - clock.now())
    return true
  }

  #acceptorOf(uri: string, trustDomain: string): ((channel: Channel) => ChannelEvents) | undefined {
    return uri === federationId(trustDomain) ? this.#options.accept(trustDomain) : undefined
  }

  /** The name is stamped here, from the certificate: whatever the peer's Hello claims, this is who it is. */
  #stream(call: Stream): void {
    const leaf = verifyLeaf(call.getAuthContext()?.sslPeerCertificate?.raw, { nowMs: this.#options.clock.now() })
    const accept = leaf.ok ? this.#acceptorOf(leaf.leaf.uri, leaf.leaf.id.trustDomain) : undefined
    if (accept === undefined) {
      call.emit('error', { code: grpc.status.PERMISSION_DENIED, details: 'PEER_IDENTITY: no such peer' })
      return
    }
    call.sendMetadata(new grpc.Metadata())
    callChannel(call, accept, (details) => {
      call.emit('error', { code: grpc.status.ABORTED, details })
    })
  }
}

type Stream = grpc.ServerDuplexStream<Buffer, Buffer>
