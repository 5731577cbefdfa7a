/**
 * The probe through the real nested path: outer mTLS HTTP/2 to a gateway of the peer (SNI `gateway.<peer>.<mesh>`,
 * identity exactly its east-west gateway), a CONNECT for the reserved health authority, and an HTTP/1.1 request to
 * the pod behind it. The outer connection is kept while it works; after any failure the next probe opens a new one.
 */
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { gatewaySni, tunnelAuthority } from '../../src/model/sni.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { clientContext, gatewayId, identityError, type TrustMaterial } from '../trust/material.ts'
import type { Peer } from './link.ts'
import type { Probe } from './prober.ts'
import type { GatewayResolver } from './resolver.ts'

/** Answered by the readiness port of a pod behind the gateway, whichever the gateway picks (design, Federation). */
export const HEALTH_AUTHORITY = tunnelAuthority({
  service: 'health',
  namespace: SYSTEM_NAMESPACE,
  port: PORTS.readiness,
})
const REQUEST = `GET /healthz/ready HTTP/1.1\r\nHost: ${HEALTH_AUTHORITY}\r\nConnection: close\r\n\r\n`
const ANSWER_BYTES_MAX = 16 * 1024

export interface TunnelProbeOptions {
  readonly mesh: string
  readonly peer: () => Peer
  readonly material: TrustMaterial
  readonly resolver: GatewayResolver
  readonly clock: Clock
}

export class TunnelProbe implements Probe {
  readonly #options: TunnelProbeOptions
  #outer: { readonly address: string; readonly session: ClientHttp2Session } | undefined
  readonly #unsubscribe: () => void

  constructor(options: TunnelProbeOptions) {
    this.#options = options
    this.#unsubscribe = options.material.onChange(() => this.#drop())
  }

  async probe(address: string, signal: AbortSignal): Promise<void> {
    try {
      const session = await this.#session(address, signal)
      await requestThrough(session, signal)
    } catch (error) {
      this.#drop()
      throw error
    }
  }

  close(): void {
    this.#unsubscribe()
    this.#drop()
  }

  #drop(): void {
    this.#outer?.session.destroy()
    this.#outer = undefined
  }

  async #session(address: string, signal: AbortSignal): Promise<ClientHttp2Session> {
    const current = this.#outer
    if (current?.address === address && !current.session.closed && !current.session.destroyed) return current.session
    this.#drop()
    const { mesh, peer, material, resolver, clock } = this.#options
    const { name, trustDomain } = peer()
    const { host, port } = await resolver.resolve(address)
    const socket = connectTls({
      host,
      port,
      servername: gatewaySni(name, mesh),
      ALPNProtocols: ['h2'],
      secureContext: clientContext(material),
      checkServerIdentity: (_host, certificate) => identityError(certificate.raw, gatewayId(trustDomain), clock.now()),
    })
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void => {
        socket.destroy()
        reject(new MeshError('PEER_SILENT', `${address} did not answer in time`))
      }
      if (signal.aborted) return giveUp()
      signal.addEventListener('abort', giveUp, { once: true })
      socket.once('error', reject)
      socket.once('secureConnect', () => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      })
    })
    const session = connectHttp2(`https://${gatewaySni(name, mesh)}`, { createConnection: () => socket })
    session.on('error', () => session.destroy())
    session.unref()
    this.#outer = { address, session }
    return session
  }
}

/** Resolves when the pod answered 200. */
function requestThrough(session: ClientHttp2Session, signal: AbortSignal): Promise<void> {
  const stream: ClientHttp2Stream = session.request(
    { ':method': 'CONNECT', ':authority': HEALTH_AUTHORITY, 'isthmus-version': '1' },
    { signal },
  )
  return new Promise<void>((resolve, reject) => {
    let answer = ''
    const fail = (what: string): void => {
      stream.destroy()
      reject(new MeshError('PEER_SILENT', what))
    }
    stream.setEncoding('latin1')
    stream.on('response', (headers) => {
      if (headers[':status'] !== 200) return fail(`the gateway answered ${String(headers[':status'])}`)
      stream.write(REQUEST)
    })
    stream.on('data', (chunk: string) => {
      answer += chunk
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]
      if (status === '200') {
        stream.destroy()
        resolve()
      } else if (status !== undefined || answer.length > ANSWER_BYTES_MAX)
        fail(`the pod answered ${status ?? 'garbage'}`)
    })
    stream.on('error', reject)
    stream.on('close', () => fail('the tunnel closed without an answer'))
  })
}
