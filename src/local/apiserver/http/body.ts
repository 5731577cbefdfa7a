/**
 * Request bodies: read with a limit, decoded by Content-Type (JSON, YAML, Kubernetes protobuf). Duplicate keys are
 * collected, since Strict field validation must name them and JSON.parse hides them.
 */
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { parseDocument, type Document, type YAMLError } from 'yaml'
import { isJsonObject, type JsonObject } from '../object.ts'
import { badRequest, tooLarge, unsupportedMediaType } from '../status.ts'
import { duplicateKeys } from './duplicate-keys.ts'

export const BODY_BYTES_MAX = 3 * 1024 * 1024 // kube-apiserver's limit

export interface DecodedBody {
  readonly value: JsonObject
  /** Paths that occur twice, e.g. `spec.replicas`. */
  readonly duplicates: readonly string[]
}

export const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const OBJECT_TYPES = ['application/json', 'application/yaml', PROTOBUF]

export async function readBody(request: IncomingMessage | Http2ServerRequest): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0)
  const limit = tooLarge(`Request entity too large: limit is ${BODY_BYTES_MAX}`)
  if (declared > BODY_BYTES_MAX) throw limit
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) throw limit
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** `application/json; charset=utf-8` → `application/json`; a missing one means JSON. */
export function mediaTypeOf(header: string | undefined): string {
  const type = (header ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  return type === '' ? 'application/json' : type
}

export async function decodeBody(body: Buffer, contentType: string | undefined): Promise<DecodedBody> {
  switch (mediaTypeOf(contentType)) {
    case 'application/json':
      return decodeJson(body)
    case 'application/yaml':
    case 'application/apply-patch+yaml':
      return decodeYaml(body)
    case PROTOBUF:
      return decodeBinary(body)
    default:
      throw unsupportedMediaType(OBJECT_TYPES)
  }
}

/** DELETE bodies may be empty. */
export async function decodeOptionalBody(body: Buffer, contentType: string | undefined): Promise<JsonObject> {
  if (body.length === 0) return {}
  return (await decodeBody(body, contentType)).value
}

function decodeJson(body: Buffer): DecodedBody {
  const source = body.toString('utf8')
  const value = parseJson(source)
  if (!isJsonObject(value))
    throw badRequest("the object provided is unrecognized: couldn't get version/kind; json parse error: not an object")
  return { value, duplicates: duplicateKeys(source) }
}

export function parseJson(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`)
  }
}

function decodeYaml(body: Buffer): DecodedBody {
  const source = body.toString('utf8')
  const document = parseDocument(source)
  const isDuplicate = (error: YAMLError): boolean => error.code === 'DUPLICATE_KEY'
  const problem = document.errors.find((error) => !isDuplicate(error))
  if (problem !== undefined) throw badRequest(`error converting YAML to JSON: ${problem.message}`)
  const duplicates = document.errors
    .filter(isDuplicate)
    .map(({ pos }) => /^[^:\s]+/.exec(source.slice(pos[0]))?.[0] ?? '')
  const value = yamlValue(document)
  if (!isJsonObject(value)) throw badRequest('error converting YAML to JSON: the document is not an object')
  return { value, duplicates }
}

function yamlValue(document: Document.Parsed): unknown {
  try {
    // An alias bomb of a few hundred bytes would otherwise unfold to gigabytes.
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: ${(error as Error).message}`)
  }
}

/** The decoder's tables are loaded by the first client that needs them: the mesh's own parts speak JSON. */
async function decodeBinary(body: Buffer): Promise<DecodedBody> {
  const { decodeProtobuf } = await import('../protobuf/decode.ts')
  let decoded: { apiVersion: string; kind: string; object: unknown }
  try {
    decoded = decodeProtobuf(body)
  } catch (error) {
    throw badRequest(`couldn't decode the protobuf body: ${(error as Error).message}`)
  }
  const { apiVersion, kind, object } = decoded
  if (!isJsonObject(object)) throw badRequest('the protobuf body holds no object')
  return { value: { ...object, apiVersion, kind }, duplicates: [] }
}
