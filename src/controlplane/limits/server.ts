/**
 * The rate limit server (envoy.service.ratelimit.v3 on 15024, mTLS inside the mesh): counts for all pods of a policy's
 * namespace. It answers workloads of this cluster about policies of their own namespace and nobody about anything else,
 * so that no one can use up another's quota. Which replica counts which policy is translate/own/limit-owners.ts's.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { createServer, type SecureContextOptions, type Server as TlsServer, type TLSSocket } from 'node:tls'
import {
  type RateLimitRequest,
  RateLimitRequestSchema,
  type RateLimitResponse,
  RateLimitResponseSchema,
} from '#gen/envoy/service/ratelimit/v3/rls_pb.js'
import { verifyLeaf } from '../../pki/verify.ts'
import type { Clock } from '../../runtime/clock.ts'
import { listen } from '../../runtime/listen.ts'
import type { Log } from '../../runtime/log.ts'
import type { RateLimitPolicyFacts } from '../observe/facts-own.ts'
import { Counts } from './counts.ts'
import { decide } from './decide.ts'

export interface LimitServerOptions {
  readonly host: string
  readonly port: number
  readonly trustDomain: string
  readonly clock: Clock
  readonly log: Log
  /** Undefined: the cluster has not been seen yet. */
  readonly policies: () => ReadonlyMap<string, RateLimitPolicyFacts> | undefined
  readonly onAnswer: (policy: string, outcome: 'admitted' | 'refused') => void
}

const HANDSHAKE_MS = 10_000
/** Every sidecar of a namespace with a limit keeps one. */
const CONNECTIONS_MAX = 10_000
const MESSAGE_BYTES_MAX = 256 * 1_024
/** Of one question: 16 limits, and twice as many to be generous to a policy that just changed. */
const DESCRIPTORS_MAX = 32
const TIMER_MS_MAX = 2 ** 31 - 1

const METHOD: grpc.MethodDefinition<RateLimitRequest, RateLimitResponse> = {
  path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
  requestStream: false,
  responseStream: false,
  requestSerialize: (request) => Buffer.from(toBinary(RateLimitRequestSchema, request)),
  requestDeserialize: (bytes) => fromBinary(RateLimitRequestSchema, bytes),
  responseSerialize: (response) => Buffer.from(toBinary(RateLimitResponseSchema, response)),
  responseDeserialize: (bytes) => fromBinary(RateLimitResponseSchema, bytes),
}

type Answer = { readonly response: RateLimitResponse } | { readonly code: grpc.status; readonly details: string }

export class LimitServer {
  readonly #options: LimitServerOptions
  readonly #counts = new Counts()
  readonly #grpc: grpc.Server
  readonly #inject: ReturnType<grpc.Server['createConnectionInjector']>
  readonly #sockets = new Set<TLSSocket>()
  #tls: TlsServer | undefined

  constructor(options: LimitServerOptions) {
    this.#options = options
    this.#grpc = new grpc.Server({ 'grpc.max_receive_message_length': MESSAGE_BYTES_MAX })
    this.#grpc.addService(
      { shouldRateLimit: METHOD },
      {
        shouldRateLimit: (
          call: grpc.ServerUnaryCall<RateLimitRequest, RateLimitResponse>,
          respond: grpc.sendUnaryData<RateLimitResponse>,
        ) => {
          const leaf = verifyLeaf(call.getAuthContext()?.sslPeerCertificate?.raw, { nowMs: options.clock.now() })
          const answer = this.answer(leaf.ok ? leaf.leaf.id.namespace : undefined, call.request)
          if ('response' in answer) respond(null, answer.response)
          else respond(answer)
        },
      },
    )
    // A TLS server of our own, so that rotation swaps its context and nobody is heard before who they are was judged.
    this.#inject = this.#grpc.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  }

  /** Opens the port with the first certificate, and goes on with each later one. */
  async use(context: SecureContextOptions): Promise<number | undefined> {
    if (this.#tls !== undefined) {
      this.#tls.setSecureContext(context)
      return undefined
    }
    const tls = { requestCert: true, rejectUnauthorized: true, ALPNProtocols: ['h2'], handshakeTimeout: HANDSHAKE_MS }
    this.#tls = createServer({ ...context, ...tls }, (socket) => this.#admit(socket))
    this.#tls.maxConnections = CONNECTIONS_MAX
    this.#tls.on('tlsClientError', (error) => this.#options.log.debug({ reason: error.message }, 'handshake refused'))
    const { host, port } = this.#options
    return listen(this.#tls, { host, port })
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#counts.size
  }

  async close(): Promise<void> {
    const tls = this.#tls
    this.#grpc.forceShutdown()
    for (const socket of this.#sockets) socket.destroy()
    if (tls !== undefined) await new Promise<void>((resolve) => void tls.close(() => resolve()))
  }

  /** `namespace`: of the workload that asks, as its certificate proves it. */
  answer(namespace: string | undefined, request: RateLimitRequest): Answer {
    const { policies, clock, onAnswer } = this.#options
    const { domain, descriptors } = request
    if (namespace === undefined || !domain.startsWith(`${namespace}/`)) {
      return { code: grpc.status.PERMISSION_DENIED, details: 'a workload may ask about policies of its namespace only' }
    }
    if (descriptors.length > DESCRIPTORS_MAX) {
      return { code: grpc.status.INVALID_ARGUMENT, details: `more than ${DESCRIPTORS_MAX} descriptors` }
    }
    const known = policies()
    const policy = known?.get(domain)
    // Whoever cannot tell must not seem to admit: what holds then is the policy's to say, in the proxy.
    if (known === undefined || policy === undefined) {
      return { code: grpc.status.UNAVAILABLE, details: `policy ${domain} is not known here yet` }
    }
    this.#counts.keep(known)
    const { response, refused } = decide(policy, request, this.#counts, clock.now())
    onAnswer(domain, refused ? 'refused' : 'admitted')
    return { response }
  }

  #admit(socket: TLSSocket): void {
    const { clock, log, trustDomain } = this.#options
    socket.on('error', (error) => log.debug({ reason: error.message }, 'rate limit connection'))
    const expected = { trustDomains: [trustDomain], nowMs: clock.now() }
    const leaf = verifyLeaf(socket.getPeerX509Certificate()?.raw, expected)
    if (!leaf.ok || socket.alpnProtocol !== 'h2') {
      log.warn({ reason: leaf.ok ? 'no h2' : leaf.detail, code: 'CALLER_DENIED' }, 'rate limit connection refused')
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    const leftMs = Math.min(Math.max(leaf.leaf.notAfterMs - clock.now(), 0), TIMER_MS_MAX)
    const cancel = clock.after(leftMs, () => socket.destroy())
    socket.once('close', () => {
      cancel()
      this.#sockets.delete(socket)
    })
    this.#inject.injectConnection(socket)
  }
}
