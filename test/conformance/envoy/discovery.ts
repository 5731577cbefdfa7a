/**
 * A discovery server for cases: the resources of a case over ADS, in whichever of the two protocols it is asked. Says
 * everything once and hears acknowledgements; who asked is recorded, as far as two programs can agree on that.
 */
import type { ServerHttp2Stream } from 'node:http2'
import {
  create,
  createRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  toBinary,
} from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import type { Node } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { entries } from '#gen/entries.js'
import type { Json, Places } from './case.ts'

/** By type, such as `envoy.config.cluster.v3.Cluster`. */
export type Resources = Readonly<Record<string, readonly Json[]>>
export type Discovers = (places: Places) => Resources

/** The first message says who asks; `then`: whether the next says it as well. */
export interface Asked {
  readonly line: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

const registry = createRegistry(...entries)
const PREFIX_BYTES = 5

interface Question {
  readonly typeUrl: string
  readonly nonce: string
  readonly names: readonly string[]
  readonly node: Node | undefined
}

type Headers = Readonly<Record<string, unknown>>

export interface Server {
  readonly resources: Resources
  readonly heard: (asked: Asked) => void
}

export function serveDiscovery(stream: ServerHttp2Stream, headers: Headers, { resources, heard }: Server): void {
  const delta = String(headers[':path']).endsWith('/DeltaAggregatedResources')
  let rest = Buffer.alloc(0)
  let count = 0
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= PREFIX_BYTES && rest.length >= PREFIX_BYTES + rest.readUInt32BE(1)) {
      const end = PREFIX_BYTES + rest.readUInt32BE(1)
      const question = read(delta, rest.subarray(PREFIX_BYTES, end))
      rest = rest.subarray(end)
      count++
      if (count <= 2) heard(asked(headers, question, count))
      // Anything with a nonce hears what was said.
      if (question.nonce === '' || question.names.length > 0) stream.write(answer(delta, question, resources))
    }
  })
}

function read(delta: boolean, bytes: Uint8Array): Question {
  if (delta) {
    const {
      typeUrl,
      responseNonce: nonce,
      resourceNamesSubscribe: names,
      node,
    } = fromBinary(DeltaDiscoveryRequestSchema, bytes)
    return { typeUrl, nonce, names, node }
  }
  const { typeUrl, responseNonce: nonce, resourceNames, node } = fromBinary(DiscoveryRequestSchema, bytes)
  // An acknowledgement repeats the names.
  return { typeUrl, nonce, names: nonce === '' ? resourceNames : [], node }
}

function asked(headers: Headers, { node }: Question, count: number): Asked {
  const { id, cluster, locality, metadata = {} } = node ?? {}
  const place = [locality?.region, locality?.zone, locality?.subZone].map((part) => part ?? '')
  const who = { id, cluster, place, metadata }
  const authority = String(headers[':authority'])
  if (count === 1) return { line: 'first', headers: [[':authority', authority]], body: JSON.stringify(who) }
  return { line: 'then', headers: [], body: node === undefined ? 'nobody' : 'the same' }
}

function answer(delta: boolean, { typeUrl, names }: Question, resources: Resources): Buffer {
  const type = typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
  const schema = registry.getMessage(type)
  const all = (resources[type] ?? []).filter(
    (one) => names.length === 0 || names.includes('*') || names.includes(nameOf(one)),
  )
  if (schema === undefined || all.length === 0) return Buffer.alloc(0)
  const packed = all.map((one) => ({ name: nameOf(one), version: '1', resource: pack(schema, one) }))
  const bytes = delta
    ? toBinary(
        DeltaDiscoveryResponseSchema,
        create(DeltaDiscoveryResponseSchema, { typeUrl, nonce: type, resources: packed }),
      )
    : toBinary(
        DiscoveryResponseSchema,
        create(DiscoveryResponseSchema, {
          typeUrl,
          nonce: type,
          versionInfo: '1',
          resources: packed.map(({ resource }) => resource),
        }),
      )
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([prefix, bytes])
}

const nameOf = (resource: Json): string => String(resource['name'] ?? resource['cluster_name'])
const pack = (schema: DescMessage, resource: Json): Any =>
  anyPack(schema, fromJson(schema, JSON.parse(JSON.stringify(resource)) as JsonObject, { registry }))
