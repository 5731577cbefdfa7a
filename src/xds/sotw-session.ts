/**
 * State-of-the-world ADS, told as if it were delta: each answer is the whole of its kind, so what is new, changed or
 * gone is found here, and client.ts need not know. Requests say all names again; a NACK repeats the last good version.
 */
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { type Any, anyUnpack } from '@bufbuild/protobuf/wkt'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import type { Node } from '#gen/envoy/config/core/v3/base_pb.js'
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { VirtualHostSchema } from '#gen/envoy/config/route/v3/route_components_pb.js'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { SecretSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js'
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  type Resource,
  ResourceSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { NameSchema } from '#gen/isthmus/dns/v1/name_pb.js'
import type { ResourceKind } from '../model/config.ts'
import { openChannel } from './channel.ts'
import { endOf, type Receive, type Session, type SessionOptions } from './client-session.ts'
import { kindOfTypeUrl, WILDCARD_KINDS } from './resources.ts'
import { SOTW_CLIENT } from './service.ts'

/** What one kind has been told and has answered. */
interface KindState {
  readonly names: Set<string>
  /** Last acknowledged, and last received. */
  good: string
  version: string
  nonce: string
  /** By name; what the last answer had, to find what changed. */
  held: Map<string, Uint8Array>
}

export class SotwTranslator {
  readonly #kinds = new Map<ResourceKind, KindState>()
  #node: Node | undefined = undefined
  readonly #nodeEachTime: boolean

  constructor(nodeEachTime = false) {
    this.#nodeEachTime = nodeEachTime
  }

  /** What a delta request says, as a request for the whole. */
  request(delta: DeltaDiscoveryRequest): DiscoveryRequest | undefined {
    const kind = kindOfTypeUrl(delta.typeUrl)
    if (kind === undefined) return undefined
    const state = this.#of(kind)
    for (const name of delta.resourceNamesSubscribe) state.names.add(name)
    for (const name of delta.resourceNamesUnsubscribe) state.names.delete(name)
    const { errorDetail, responseNonce } = delta
    const acknowledges = responseNonce !== ''
    if (acknowledges && errorDetail === undefined) state.good = state.version
    // Refused bytes are looked at again when they come again.
    if (errorDetail !== undefined) state.held = new Map()
    const first = this.#node === undefined
    this.#node ??= delta.node
    const init: MessageInitShape<typeof DiscoveryRequestSchema> = {
      typeUrl: delta.typeUrl,
      versionInfo: state.good,
      responseNonce: state.nonce,
      resourceNames: [...state.names],
      ...((first || this.#nodeEachTime) && this.#node !== undefined && { node: this.#node }),
      ...(errorDetail !== undefined && { errorDetail }),
    }
    return create(DiscoveryRequestSchema, init)
  }

  /** Undefined: of a kind that nobody asked for. */
  response(whole: DiscoveryResponse): Parameters<Receive>[0] | undefined {
    const kind = kindOfTypeUrl(whole.typeUrl)
    if (kind === undefined) return undefined
    const state = this.#of(kind)
    state.version = whole.versionInfo
    state.nonce = whole.nonce
    const held = new Map<string, Uint8Array>()
    const resources: Resource[] = []
    for (const any of whole.resources) {
      const { name, resource } = namedOf(kind, any)
      held.set(name, resource.value)
      const before = state.held.get(name)
      if (before !== undefined && sameBytes(before, resource.value)) continue
      resources.push(create(ResourceSchema, { name, version: whole.versionInfo, resource }))
    }
    // Only listeners and clusters come whole; of the others an answer may hold a part.
    const removedResources = WILDCARD_KINDS.has(kind) ? [...state.held.keys()].filter((name) => !held.has(name)) : []
    state.held = WILDCARD_KINDS.has(kind) ? held : new Map([...state.held, ...held])
    const { typeUrl, nonce, versionInfo: systemVersionInfo } = whole
    return create(DeltaDiscoveryResponseSchema, { typeUrl, nonce, systemVersionInfo, resources, removedResources })
  }

  #of(kind: ResourceKind): KindState {
    const known = this.#kinds.get(kind)
    if (known !== undefined) return known
    const state: KindState = { names: new Set(), good: '', version: '', nonce: '', held: new Map() }
    this.#kinds.set(kind, state)
    return state
  }
}

/** A resource may come in an envelope of its own, which then says its name. */
function namedOf(kind: ResourceKind, any: Any): { readonly name: string; readonly resource: Any } {
  const wrapped = anyUnpack(any, ResourceSchema)
  if (wrapped?.resource !== undefined) return { name: wrapped.name, resource: wrapped.resource }
  return { name: nameIn(kind, any.value), resource: any }
}

/** What cannot be read has no name; the codec then says why, under an empty one. */
function nameIn(kind: ResourceKind, bytes: Uint8Array): string {
  try {
    switch (kind) {
      case 'cluster':
        return fromBinary(ClusterSchema, bytes).name
      case 'endpoints':
        return fromBinary(ClusterLoadAssignmentSchema, bytes).clusterName
      case 'listener':
        return fromBinary(ListenerSchema, bytes).name
      case 'route':
        return fromBinary(RouteConfigurationSchema, bytes).name
      case 'host':
        return fromBinary(VirtualHostSchema, bytes).name
      case 'secret':
        return fromBinary(SecretSchema, bytes).name
      case 'name':
        return fromBinary(NameSchema, bytes).name
      default:
        return kind satisfies never
    }
  } catch {
    return ''
  }
}

const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

export async function openSotwSession(options: SessionOptions, receive: Receive): Promise<Session> {
  const { client, metadata } = await openChannel(options)
  const stream: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse> = client.makeBidiStreamRequest(
    SOTW_CLIENT.path,
    SOTW_CLIENT.serialize,
    SOTW_CLIENT.deserialize,
    metadata,
  )
  const translator = new SotwTranslator(options.nodeEachTime)
  const ended = endOf(stream)
  stream.on('data', (whole: DiscoveryResponse) => {
    const response = translator.response(whole)
    if (response !== undefined) receive(response)
  })
  return {
    send: (delta) => {
      const request = translator.request(delta)
      if (request !== undefined) stream.write(request)
    },
    ended,
    close: () => {
      stream.cancel()
      client.close()
    },
  }
}
