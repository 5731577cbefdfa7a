/**
 * One ADS stream from the client's side: name resolution, TLS, the bearer token, the gRPC call. Ends when the stream
 * does; retrying is client.ts's.
 */
import type { LookupFunction } from 'node:net'
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import type { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { MeshError, messageOf } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'
import { DELTA_CLIENT } from './service.ts'

export interface SessionOptions {
  /** `host:port`; the host is verified against the server's certificate. */
  readonly address: string
  /** Absent: the machine's resolver. */
  readonly lookup?: LookupFunction | undefined
  readonly servingRootPem: string
  readonly token: () => Promise<string>
}

export interface Session {
  send(request: DeltaDiscoveryRequest): void
  /** Settles when the stream has ended, with why; never rejects. */
  readonly ended: Promise<string>
  close(): void
}

/** PING: a silent control plane is noticed within 15 s, also behind a load balancer that forgot the connection. */
const KEEPALIVE_MS = 10_000
const KEEPALIVE_TIMEOUT_MS = 5_000
/** Our server stays under 1 MiB; other xDS servers may not. */
const RESPONSE_BYTES_MAX = 16 * 1_048_576

export async function openSession(
  options: SessionOptions,
  receive: (response: DeltaDiscoveryResponse) => void,
): Promise<Session> {
  const { host, target } = await resolveTarget(options)
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${(await options.token()).trim()}`)
  const client = new Client(target, credentials.createSsl(Buffer.from(options.servingRootPem)), {
    'grpc.ssl_target_name_override': host,
    'grpc.default_authority': host,
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.max_receive_message_length': RESPONSE_BYTES_MAX,
  })
  const stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = client.makeBidiStreamRequest(
    DELTA_CLIENT.path,
    DELTA_CLIENT.serialize,
    DELTA_CLIENT.deserialize,
    metadata,
  )
  const ended = new Promise<string>((resolve) => {
    stream.on('error', (error) => resolve(messageOf(error)))
    stream.on('end', () => resolve('the control plane ended the stream'))
    stream.on('close', () => resolve('the stream closed'))
  })
  stream.on('data', receive)
  return {
    send: (request) => stream.write(request),
    ended,
    close: () => {
      stream.cancel()
      client.close()
    },
  }
}

/** grpc-js cannot be told how to resolve; so the name is resolved here, dialled as an address, verified as the name. */
async function resolveTarget(options: SessionOptions): Promise<{ host: string; target: string }> {
  const parsed = parseHostPort(options.address)
  if (parsed === undefined) throw new MeshError('SETTING_INVALID', `${options.address} is not host:port`)
  const { host, port } = parsed
  const { lookup } = options
  if (lookup === undefined) return { host, target: `dns:///${options.address}` }
  const address = await new Promise<string>((resolve, reject) => {
    lookup(host, { family: 4 }, (error, found) => {
      if (error === null && typeof found === 'string') resolve(found)
      else reject(error ?? new Error(`no address for ${host}`))
    })
  })
  return { host, target: `ipv4:${address}:${port}` }
}
