/**
 * One agent, without any environment: certificate and bundle in, secrets, Workload API, files and discovery out, over one
 * socket. main.ts brings settings, names and Envoy itself; tests run several in one process.
 */
import { Server } from '@grpc/grpc-js'
import type { SpiffeId } from '../model/identity.ts'
import type { Clock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { type ChannelOptions, type OpenChannel, openChannel } from '../xds/channel.ts'
import { createAdsServer } from '../xds/server.ts'
import { type AgentNode, followBundle } from './bundle.ts'
import { SecretFiles } from './files.ts'
import { registerRelay } from './relay.ts'
import { type HeldCertificate, HeldSecrets } from './secrets.ts'
import { openSocket } from './socket.ts'
import { registerWorkloadApi } from './workload-api.ts'

export interface AgentOptions {
  readonly id: SpiffeId
  readonly identity: {
    current(): HeldCertificate | undefined
    onChange(listener: (certificate: HeldCertificate) => void): () => void
  }
  /** Where discovery is; the token is read anew for every stream. */
  readonly server: ChannelOptions
  readonly node: AgentNode
  /** Socket and files; 0700. */
  readonly directory: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface Agent {
  readonly secrets: HeldSecrets
  /** Empty: everything that clients ask for is there. */
  awaited(): readonly string[]
  close(): void
}

const GRPC_OPTIONS = {
  'grpc.max_receive_message_length': 4 * 1_048_576,
  // Whoever opens the socket may ask for what it likes; it cannot make the agent hold much.
  'grpc.max_concurrent_streams': 128,
} as const

/** Resolves when the socket is open. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { identity, clock, random, log, server, node } = options
  const secrets = new HeldSecrets()
  const files = new SecretFiles(options.directory, options.id.trustDomain)
  const sds = createAdsServer<true>({
    // The socket is the pod's own.
    authenticate: () => Promise.resolve({ ok: true, client: true }),
    configFor: () => secrets.config,
    clock,
    log,
    streamsMax: 64,
  })
  const publish = (): void => {
    sds.notify()
    files
      .write(secrets)
      .catch((error: unknown) => log.error({ reason: messageOf(error) }, 'certificates cannot be written'))
  }
  secrets.onChange(publish)
  const grpc = new Server(GRPC_OPTIONS)
  sds.registerSecrets(grpc)
  registerWorkloadApi(grpc, secrets, options.id)
  registerRelay(grpc, { open: (): Promise<OpenChannel> => openChannel(server), log })
  await openSocket(grpc, options.directory)
  const stopIdentity = identity.onChange((certificate) => secrets.setCertificate(certificate))
  const current = identity.current()
  if (current !== undefined) secrets.setCertificate(current)
  const bundle = followBundle({ server, node, clock, random, log, onBundle: (next) => secrets.setBundle(next) })
  return {
    secrets,
    awaited: () => [
      ...(secrets.certificate === undefined ? ['the first certificate'] : []),
      ...(secrets.bundle === undefined ? ['the bundle'] : []),
    ],
    close: () => {
      stopIdentity()
      bundle.stop()
      sds.close()
      grpc.forceShutdown()
    },
  }
}
