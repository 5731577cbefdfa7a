/**
 * Small pieces that several resources share: durations, addresses, the ADS config source, metadata. Encoders and
 * decoders stand side by side so that a change to one is seen against the other.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt'
import { type Address, AddressSchema } from '#gen/envoy/config/core/v3/address_pb.js'
import type { Metadata } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  ApiConfigSource_ApiType as ApiType,
  ApiVersion,
  type ConfigSource,
  ConfigSourceSchema,
} from '#gen/envoy/config/core/v3/config_source_pb.js'
import { AGENT_SECRETS_CLUSTER } from '../../model/config.ts'
import { present, refuse, require, type Shape, within } from './shape.ts'

const NANOS_PER_MS = 1_000_000

export function encodeDuration(ms: number): Duration {
  const seconds = Math.floor(ms / 1000)
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * NANOS_PER_MS) })
}

/** Whole milliseconds; a finer duration is refused rather than rounded. */
export function decodeDuration(path: string, duration: Duration | undefined): number {
  const { seconds, nanos } = present(path, duration)
  const ms = Number(seconds) * 1000 + nanos / NANOS_PER_MS
  require(path, ms >= 0 && Number.isSafeInteger(ms), 'is not a whole number of milliseconds')
  return ms
}

export const ADDRESS_SHAPE: Shape = { socket_address: { address: true, port_value: true } }

export function encodeAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
  })
}

export function decodeAddress(path: string, message: Address | undefined): { address: string; port: number } {
  const specifier = present(path, message).address
  if (specifier.case !== 'socketAddress') return refuse(path, 'only socket_address is supported')
  const { address, portSpecifier } = specifier.value
  if (portSpecifier.case !== 'portValue') return refuse(within(path, 'socket_address.port_value'), 'is required')
  return { address, port: portSpecifier.value }
}

export const ADS_SHAPE: Shape = { ads: {}, resource_api_version: true }

export function encodeAds(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: {} },
    resourceApiVersion: ApiVersion.V3,
  })
}

/** Secrets from the agent beside an Envoy. A listener waits for them: without there is nothing that it could serve. */
export function encodeAgentSource(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: {
      case: 'apiConfigSource',
      value: {
        apiType: ApiType.GRPC,
        transportApiVersion: ApiVersion.V3,
        setNodeOnFirstMessageOnly: true,
        grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName: AGENT_SECRETS_CLUSTER } } }],
      },
    },
    initialFetchTimeout: encodeDuration(0),
    resourceApiVersion: ApiVersion.V3,
  })
}

export function requireAds(path: string, source: ConfigSource | undefined): void {
  const { configSourceSpecifier, resourceApiVersion } = present(path, source)
  require(path, configSourceSpecifier.case === 'ads', 'only ads is supported')
  require(within(path, 'resource_api_version'), resourceApiVersion === ApiVersion.V3, 'must be V3')
}

/** The metadata of the namespaces given; any other namespace is refused, as any other field would be. */
export function decodeMetadata(
  path: string,
  metadata: Metadata | undefined,
  namespaces: readonly string[],
): Metadata['filterMetadata'] {
  const found = metadata?.filterMetadata ?? {}
  for (const name of Object.keys(found)) {
    require(within(path, `filter_metadata["${name}"]`), namespaces.includes(name), 'is not supported')
  }
  return found
}

/** Reads plain fields of one metadata namespace and refuses those that nothing read. */
export class FieldReader {
  readonly #path: string
  readonly #fields: JsonObject
  readonly #read = new Set<string>()

  constructor(path: string, fields: unknown) {
    this.#path = path
    this.#fields = typeof fields === 'object' && fields !== null && !Array.isArray(fields) ? (fields as JsonObject) : {}
  }

  string(name: string): string {
    return this.optionalString(name) ?? refuse(this.#at(name), 'is required')
  }

  optionalString(name: string): string | undefined {
    const value = this.#take(name)
    if (value === undefined || typeof value === 'string') return value
    return refuse(this.#at(name), 'is not a string')
  }

  count(name: string): number {
    const value = this.#take(name)
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return refuse(this.#at(name), 'is not a count')
  }

  number(name: string, range: { readonly min: number; readonly max: number }): number {
    return this.optionalNumber(name, range) ?? refuse(this.#at(name), 'is required')
  }

  /** Whole ones only. */
  optionalNumber(name: string, { min, max }: { readonly min: number; readonly max: number }): number | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    return refuse(this.#at(name), `is not a whole number from ${min} to ${max}`)
  }

  optionalObject(name: string): FieldReader | undefined {
    const value = this.#take(name)
    if (value === undefined) return undefined
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new FieldReader(this.#at(name), value)
    }
    return refuse(this.#at(name), 'is not an object')
  }

  strings(name: string): readonly string[] {
    const value = this.#take(name) ?? []
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
    return refuse(this.#at(name), 'is not a list of strings')
  }

  end(): void {
    for (const name of Object.keys(this.#fields)) require(this.#at(name), this.#read.has(name), 'is not supported')
  }

  #take(name: string): unknown {
    this.#read.add(name)
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined
  }

  #at(name: string): string {
    return within(this.#path, name)
  }
}
