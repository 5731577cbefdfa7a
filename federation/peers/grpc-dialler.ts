/**
 * Dials a peer's leader through one of its gateways: TLS 1.3 from controller to controller, SNI
 * `federation.<peer>.<mesh>`, which the gateway splices without reading. The other end must be exactly the peer's
 * federation identity before a byte of ours is written.
 */
import * as grpc from '@grpc/grpc-js'
import { federationSni } from '../../src/model/sni.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { clientContext, federationId, identityError, type TrustMaterial } from '../trust/material.ts'
import { CHANNEL_OPTIONS, callChannel, STREAM_METHOD } from './grpc-channel.ts'
import type { DialRequest, PeerDialler } from './link.ts'
import type { Channel, ChannelEvents } from './message.ts'
import type { GatewayResolver } from './resolver.ts'

export interface GrpcDiallerOptions {
  readonly mesh: string
  readonly material: TrustMaterial
  readonly resolver: GatewayResolver
  readonly clock: Clock
}

export class GrpcDialler implements PeerDialler {
  readonly #options: GrpcDiallerOptions

  constructor(options: GrpcDiallerOptions) {
    this.#options = options
  }

  async dial(request: DialRequest, accept: (channel: Channel) => ChannelEvents): Promise<void> {
    const { host, port } = await this.#options.resolver.resolve(request.address)
    if (request.signal.aborted) throw new MeshError('PEER_SILENT', 'the dial was given up')
    const client = this.#client(request, host.includes(':') ? `ipv6:[${host}]:${port}` : `ipv4:${host}:${port}`)
    const call = client.makeBidiStreamRequest(
      STREAM_METHOD.path,
      STREAM_METHOD.requestSerialize,
      STREAM_METHOD.responseDeserialize,
      new grpc.Metadata(),
    )
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        call.cancel()
        reject(new MeshError('PEER_SILENT', 'the gateway did not answer in time'))
      }
      request.signal.addEventListener('abort', giveUp, { once: true })
      // The server's headers come at once and say that its leader took the stream; before them it is only a dial.
      call.once('metadata', () => {
        request.signal.removeEventListener('abort', giveUp)
        const cancelExpiry = this.#expireWith(call)
        callChannel(call, accept, () => {
          cancelExpiry()
          call.cancel()
          client.close()
        })
        resolve()
      })
      call.once('error', (error: grpc.ServiceError) => {
        client.close()
        reject(new MeshError('PEER_SILENT', error.details, { cause: error }))
      })
    })
  }

  #client(request: DialRequest, target: string): grpc.Client {
    const { mesh, material, clock } = this.#options
    const { name, trustDomain } = request.peer
    const sni = federationSni(name, mesh)
    const credentials = grpc.credentials.createFromSecureContext(clientContext(material), {
      checkServerIdentity: (_host, certificate) =>
        identityError(certificate.raw, federationId(trustDomain), clock.now()),
    })
    return new grpc.Client(target, credentials, {
      ...CHANNEL_OPTIONS,
      'grpc.ssl_target_name_override': sni,
      'grpc.default_authority': sni,
      'grpc.enable_http_proxy': 0, // pods carry http_proxy for their applications
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_retries': 0,
    })
  }

  /** A connection ends at the latest when a certificate does; the next dial shows the new one. */
  #expireWith(call: grpc.ClientDuplexStream<Buffer, Buffer>): () => void {
    const { clock, material } = this.#options
    const theirs = Date.parse(call.getAuthContext()?.sslPeerCertificate?.valid_to ?? '')
    const ours = material.certificate()?.notAfterMs ?? 0
    const leftMs = Math.min(Number.isNaN(theirs) ? ours : theirs, ours) - clock.now()
    return clock.after(Math.min(Math.max(leftMs, 0), TIMER_MS_MAX), () => call.cancel())
  }
}

const TIMER_MS_MAX = 2 ** 31 - 1
