/**
 * The mesh's trust bundle from the control plane: one delta stream that asks for one secret, for as long as the agent
 * lives. Read as strictly as a proxy reads it; what cannot be read is refused by name and the last good one stays.
 */
import { create } from '@bufbuild/protobuf'
import { type Node, NodeSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type DeltaDiscoveryResponse,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequest,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { TRUST_BUNDLE, type ValidationContext } from '../model/config.ts'
import { Backoff } from '../runtime/backoff.ts'
import { type Clock, delay } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import { openSession, type Session, type SessionOptions } from '../xds/client-session.ts'
import { decodeResource } from '../xds/codec/codec.ts'
import { TYPE_URLS } from '../xds/resources.ts'

export interface BundleOptions {
  readonly server: SessionOptions
  readonly node: AgentNode
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly onBundle: (bundle: ValidationContext) => void
}

export interface AgentNode {
  readonly id: string
  readonly cluster: string
  readonly metadata: Readonly<Record<string, string>>
}

const RETRY = { initialMs: 200, maxMs: 15_000 } as const
/** grpc's status INVALID_ARGUMENT. */
const INVALID = 3

export function followBundle(options: BundleOptions): { stop(): void } {
  const ended = new AbortController()
  const current: { session?: Session } = {}
  const run = async (): Promise<void> => {
    const backoff = new Backoff({ ...RETRY, random: options.random })
    while (!ended.signal.aborted) {
      const reason = await follow(options, current, () => backoff.reset()).catch(messageOf)
      if (ended.signal.aborted) return
      const retryMs = backoff.next()
      options.log.info({ reason, retryMs }, 'the bundle is not followed now; what is there stays')
      await delay(options.clock, retryMs, ended.signal)
    }
  }
  void run()
  return {
    stop: () => {
      ended.abort()
      current.session?.close()
    },
  }
}

async function follow(
  { server, node, log, onBundle }: BundleOptions,
  current: { session?: Session },
  onAnswer: () => void,
): Promise<string> {
  const { ISTHMUS_COMPRESSION: _packed, ...metadata } = node.metadata
  const session = await openSession(server, (response) => {
    onAnswer()
    const problem = read(response, onBundle)
    if (problem !== undefined) log.warn({ problem }, 'the bundle was refused')
    session.send(answer(response.nonce, problem))
  })
  current.session = session
  session.send(
    request({
      node: create(NodeSchema, { id: node.id, cluster: node.cluster, metadata }),
      resourceNamesSubscribe: [TRUST_BUNDLE],
    }),
  )
  try {
    return await session.ended
  } finally {
    session.close()
  }
}

function request(fields: { readonly node?: Node; readonly resourceNamesSubscribe?: string[] }): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URLS.secret, ...fields })
}

function answer(responseNonce: string, problem: string | undefined): DeltaDiscoveryRequest {
  return create(DeltaDiscoveryRequestSchema, {
    typeUrl: TYPE_URLS.secret,
    responseNonce,
    ...(problem !== undefined && { errorDetail: { code: INVALID, message: problem } }),
  })
}

/** What is wrong with it. A removal says nothing: trust that is there stays. */
function read(response: DeltaDiscoveryResponse, onBundle: BundleOptions['onBundle']): string | undefined {
  for (const resource of response.resources) {
    const decoded = decodeResource('secret', resource)
    if ('rejection' in decoded) return `${decoded.rejection.path}: ${decoded.rejection.message}`
    if (decoded.kind !== 'secret' || decoded.value.kind !== undefined) return `${resource.name}: is not a bundle`
    if (decoded.value.name === TRUST_BUNDLE) onBundle(decoded.value)
  }
  return undefined
}
