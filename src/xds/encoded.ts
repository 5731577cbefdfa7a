/**
 * What a resource looks like on the wire: its version (hash of its content) and its bytes inside a response. Kept by
 * object identity, so that a resource shared by 500 proxies is serialised and hashed once. translate keeps unchanged
 * objects; an equal copy costs a second encoding but has the same version and is not sent again.
 */
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { toBinary } from '@bufbuild/protobuf'
import { AnySchema } from '@bufbuild/protobuf/wkt'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { ProxyConfig, ResourceKind } from '../model/config.ts'
import { encodeResource, type ModelResource, resourceToBytes } from './codec/codec.ts'
import { present } from './codec/shape.ts'
import { TYPE_URLS } from './resources.ts'

export interface Encoded {
  readonly version: string
  /** The resource with tag and length, ready to stand in a DeltaDiscoveryResponse. */
  readonly frame: Uint8Array
}

/** Field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse. */
const RESPONSE = { systemVersionInfo: 1, resources: 2, typeUrl: 4, nonce: 5, removedResources: 6 } as const
/** And of DiscoveryResponse. */
const WHOLE = { versionInfo: 1, resources: 2, typeUrl: 4, nonce: 5 } as const
/** 66 bits: an accidental match among a million resources has a chance of 1 in 10^8. */
const VERSION_LENGTH = 11
/** Below this there is little to gain. */
const GZIP_BYTES_MIN = 256
/** Most of the gain: what travels is names, said again and again. */
const GZIP_LEVEL = 3

export class EncodedResources {
  readonly #known = new WeakMap<object, Encoded>()
  readonly #wholes = new WeakMap<object, Encoded>()
  #nonces = 0

  /** As it stands in a state-of-the-world answer. */
  wholeOf(resource: ModelResource): Encoded {
    const known = this.#wholes.get(resource.value)
    if (known !== undefined) return known
    const { version } = this.of(resource)
    const any = present('resource', encodeResource(resource).resource)
    const bytes = toBinary(AnySchema, any)
    const whole = {
      version,
      frame: new BinaryWriter().tag(WHOLE.resources, WireType.LengthDelimited).bytes(bytes).finish(),
    }
    this.#wholes.set(resource.value, whole)
    return whole
  }

  /** Of a message, not of a stream: streams that are equally far get the same bytes. */
  nextNonce(): string {
    this.#nonces += 1
    return this.#nonces.toString(36)
  }

  of(resource: ModelResource): Encoded {
    const known = this.#known.get(resource.value)
    if (known !== undefined) return known
    const encoded = encode(resource)
    this.#known.set(resource.value, encoded)
    return encoded
  }
}

function encode(resource: ModelResource): Encoded {
  const message = encodeResource(resource)
  const version = createHash('sha256').update(resourceToBytes(message)).digest('base64url').slice(0, VERSION_LENGTH)
  message.version = version
  const bytes = resourceToBytes(message)
  const frame = new BinaryWriter().tag(RESPONSE.resources, WireType.LengthDelimited).bytes(bytes).finish()
  return { version, frame }
}

const NO_NAMES: ReadonlyMap<string, ModelResource['value']> = new Map()
export const NO_HOSTS: ReadonlyMap<string, ModelResource['value']> = new Map()

/** The table of one kind, as the union that encoder and subscription take. Hosts stand in their route tables. */
export function tableOf(config: ProxyConfig, kind: ResourceKind): ReadonlyMap<string, ModelResource['value']> {
  switch (kind) {
    case 'cluster':
      return config.clusters
    case 'endpoints':
      return config.endpoints
    case 'listener':
      return config.listeners
    case 'route':
      return config.routes
    case 'secret':
      return config.secrets
    case 'name':
      return config.names ?? NO_NAMES
    case 'host':
      return NO_HOSTS
    default:
      return kind satisfies never
  }
}

export interface ResponseParts {
  readonly kind: ResourceKind
  readonly systemVersion: string
  readonly nonce: string
  readonly frames: readonly Uint8Array[]
  readonly removed: readonly string[]
}

/** What a stream writes, and what its client answers to. */
export interface Sendable {
  readonly nonce: string
  readonly bytes: Buffer
  readonly packed: Buffer | undefined
}

/** An answer of a state-of-the-world stream. */
export class WholeMessage implements Sendable {
  readonly nonce: string
  readonly bytes: Buffer
  readonly packed = undefined

  constructor({ kind, version, nonce, frames }: WholeParts) {
    this.nonce = nonce
    const head = new BinaryWriter()
      .tag(WHOLE.versionInfo, WireType.LengthDelimited)
      .string(version)
      .tag(WHOLE.typeUrl, WireType.LengthDelimited)
      .string(TYPE_URLS[kind])
      .tag(WHOLE.nonce, WireType.LengthDelimited)
      .string(nonce)
    this.bytes = Buffer.concat([head.finish(), ...frames])
  }
}

interface WholeParts {
  readonly kind: ResourceKind
  readonly version: string
  readonly nonce: string
  readonly frames: readonly Uint8Array[]
}

/** An answer that many streams may send; made of bytes when the first one does. */
export class Message implements Sendable {
  readonly nonce: string
  readonly #parts: ResponseParts
  #bytes: Buffer | undefined
  #packed: Buffer | undefined

  constructor(parts: ResponseParts) {
    this.#parts = parts
    this.nonce = parts.nonce
  }

  get bytes(): Buffer {
    return (this.#bytes ??= encodeResponse(this.#parts))
  }

  /** With gzip; undefined where that is not worth it. */
  get packed(): Buffer | undefined {
    if (this.#packed === undefined) {
      const bytes = encodeResponse(this.#parts)
      this.#packed = bytes.length < GZIP_BYTES_MIN ? EMPTY : gzipSync(bytes, { level: GZIP_LEVEL })
    }
    return this.#packed.length === 0 ? undefined : this.#packed
  }
}

const EMPTY = Buffer.alloc(0)

function encodeResponse(parts: ResponseParts): Buffer {
  const head = new BinaryWriter()
    .tag(RESPONSE.systemVersionInfo, WireType.LengthDelimited)
    .string(parts.systemVersion)
    .tag(RESPONSE.typeUrl, WireType.LengthDelimited)
    .string(TYPE_URLS[parts.kind])
    .tag(RESPONSE.nonce, WireType.LengthDelimited)
    .string(parts.nonce)
  for (const name of parts.removed) head.tag(RESPONSE.removedResources, WireType.LengthDelimited).string(name)
  return Buffer.concat([head.finish(), ...parts.frames])
}
