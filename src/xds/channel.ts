/**
 * The gRPC connection to a discovery server: names, TLS, who we say we are. What travels over it is the sessions'. Not
 * part of the data path: a proxy that cannot reach its server serves on.
 */
import type { LookupFunction } from 'node:net'
import { Client, type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js'
import { MeshError } from '../runtime/errors.ts'
import { parseHostPort } from '../runtime/network.ts'

/** The mesh's own server: TLS by the cluster's serving root, and a bearer token. */
export interface TokenSecurity {
  readonly servingRootPem: string
  readonly token: () => Promise<string>
}

/** Any other server, as its cluster in the bootstrap says. */
export interface OpenSecurity {
  /** Absent: plaintext. */
  readonly tls: ChannelTls | undefined
  /** `:authority`; empty: the address. */
  readonly authority: string
}

export interface ChannelTls {
  /** Absent: the server's chain is not verified. */
  readonly rootPem: string | undefined
  readonly chainPem: string | undefined
  readonly keyPem: string | undefined
  readonly serverName: string
  /** Why the server is not who was meant; undefined: it is. `der` is its leaf. */
  readonly judge: (der: Buffer) => string | undefined
}

export interface ServerAddress {
  /** `host:port`. */
  readonly address: string
  /** Absent: the machine's resolver. */
  readonly lookup?: LookupFunction | undefined
}

export type ChannelOptions = ServerAddress & (TokenSecurity | { readonly open: OpenSecurity })

export interface OpenChannel {
  readonly client: Client
  readonly metadata: Metadata
}

/** PING: a silent control plane is noticed within 15 s, also behind a load balancer that forgot the connection. */
const KEEPALIVE_MS = 10_000
const KEEPALIVE_TIMEOUT_MS = 5_000
/** Our server stays under 1 MiB; other xDS servers may not. */
const RESPONSE_BYTES_MAX = 16 * 1_048_576

const COMMON = {
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.max_receive_message_length': RESPONSE_BYTES_MAX,
} as const

export async function openChannel(options: ChannelOptions): Promise<OpenChannel> {
  const { host, target } = await resolveTarget(options)
  const metadata = new Metadata()
  if ('open' in options) return { client: openClient(target, host, options.open), metadata }
  metadata.set('authorization', `Bearer ${(await options.token()).trim()}`)
  const client = new Client(target, credentials.createSsl(Buffer.from(options.servingRootPem)), {
    ...COMMON,
    'grpc.ssl_target_name_override': host,
    'grpc.default_authority': host,
  })
  return { client, metadata }
}

function openClient(target: string, host: string, { tls, authority }: OpenSecurity): Client {
  const name = authority === '' ? host : authority
  return new Client(target, tls === undefined ? credentials.createInsecure() : sslOf(tls), {
    ...COMMON,
    'grpc.default_authority': name,
    ...(tls !== undefined && tls.serverName !== '' && { 'grpc.ssl_target_name_override': tls.serverName }),
  })
}

function sslOf({ rootPem, chainPem, keyPem, judge }: ChannelTls): ChannelCredentials {
  const bytes = (pem: string | undefined): Buffer | null => (pem === undefined ? null : Buffer.from(pem))
  return credentials.createSsl(bytes(rootPem), bytes(keyPem), bytes(chainPem), {
    rejectUnauthorized: rootPem !== undefined,
    // Instead of host names: what the cluster's validation context says.
    checkServerIdentity: (_host, certificate) => {
      const refusal = judge(certificate.raw)
      return refusal === undefined ? undefined : new Error(refusal)
    },
  })
}

/** grpc-js cannot be told how to resolve; so the name is resolved here, dialled as an address, verified as the name. */
async function resolveTarget(options: ServerAddress): Promise<{ host: string; target: string }> {
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
