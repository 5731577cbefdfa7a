/** envoy.service.ratelimit.v3: RateLimitRequest written, RateLimitResponse read, by field number (side/protobuf.ts). */
import type { Metadata } from '../../model/config.ts'
import type { HeaderList } from '../message.ts'
import { ProtoFault, ProtoReader, ProtoWriter } from '../side/protobuf.ts'
import { readStruct } from '../side/struct.ts'
import type { Descriptor } from './descriptors.ts'

export const SHOULD_RATE_LIMIT_PATH = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'

const OVER_LIMIT = 2
const NO_BODY = Buffer.alloc(0)
/** Seconds by `Unit`; months and years as Envoy counts them. */
const WINDOWS = [0, 1, 60, 3_600, 86_400, 2_592_000, 31_536_000]

export type LimitVerdict =
  | {
      readonly kind: 'answer'
      readonly overLimit: boolean
      readonly responseHeaders: readonly (readonly [string, string])[]
      readonly requestHeaders: readonly (readonly [string, string])[]
      readonly body: Buffer
      readonly metadata: Metadata | undefined
      /** What the client may be told of its limits, as fields. */
      readonly limits: HeaderList
      /** Until all limits that refused would admit again; undefined: none of them said when. */
      readonly retryAfterS: number | undefined
    }
  | { readonly kind: 'error'; readonly detail: string }

export function writeLimitRequest(domain: string, descriptors: readonly Descriptor[]): Buffer {
  const request = new ProtoWriter().string(1, domain)
  for (const { entries, limit } of descriptors) {
    const descriptor = new ProtoWriter()
    for (const [key, value] of entries) descriptor.message(1, new ProtoWriter().string(1, key).string(2, value))
    if (limit !== undefined) descriptor.message(2, new ProtoWriter().uint(1, limit.perUnit).uint(2, limit.unit))
    request.message(2, descriptor)
  }
  return request.finish()
}

export function readLimitResponse(bytes: Buffer): LimitVerdict {
  try {
    return readResponse(new ProtoReader(bytes))
  } catch (error) {
    if (!(error instanceof ProtoFault)) throw error
    return { kind: 'error', detail: `the answer is not a RateLimitResponse: ${error.message}` }
  }
}

interface Status {
  code: number
  perUnit: number
  unit: number
  name: string
  limited: boolean
  remaining: number
  resetMs: number
}

function readResponse(reader: ProtoReader): LimitVerdict {
  let code = 0
  let body: Buffer = NO_BODY
  let metadata: Metadata | undefined
  const statuses: Status[] = []
  const responseHeaders: [string, string][] = []
  const requestHeaders: [string, string][] = []
  while (reader.next()) {
    if (reader.field === 1) code = reader.uint()
    else if (reader.field === 2) statuses.push(readStatus(reader.message()))
    else if (reader.field === 3) responseHeaders.push(readHeader(reader.message()))
    else if (reader.field === 4) requestHeaders.push(readHeader(reader.message()))
    else if (reader.field === 5) body = reader.bytes()
    else if (reader.field === 6) metadata = readStruct(reader.message())
  }
  const limits = limitFields(statuses.filter(({ limited }) => limited))
  const overLimit = code === OVER_LIMIT
  const retryAfterS = overLimit ? retryAfterOf(statuses) : undefined
  return { kind: 'answer', overLimit, responseHeaders, requestHeaders, body, metadata, limits, retryAfterS }
}

function retryAfterOf(statuses: readonly Status[]): number | undefined {
  const waits = statuses.filter((status) => status.code === OVER_LIMIT && status.resetMs > 0)
  return waits.length === 0 ? undefined : Math.ceil(Math.max(...waits.map(({ resetMs }) => resetMs)) / 1_000)
}

function readHeader(reader: ProtoReader): [string, string] {
  let [name, value] = ['', '']
  while (reader.next()) {
    if (reader.field === 1) name = reader.bytes().toString('latin1')
    else if (reader.field === 2 || reader.field === 3) value = reader.bytes().toString('latin1')
  }
  return [name, value]
}

function readStatus(reader: ProtoReader): Status {
  const status: Status = { code: 0, perUnit: 0, unit: 0, name: '', limited: false, remaining: 0, resetMs: 0 }
  while (reader.next()) {
    if (reader.field === 1) status.code = reader.uint()
    else if (reader.field === 2) readLimit(reader.message(), status)
    else if (reader.field === 3) status.remaining = reader.uint()
    else if (reader.field === 4) status.resetMs = reader.durationMs()
  }
  return status
}

function readLimit(reader: ProtoReader, status: Status): void {
  status.limited = true
  while (reader.next()) {
    if (reader.field === 1) status.perUnit = reader.uint()
    else if (reader.field === 2) status.unit = reader.uint()
    else if (reader.field === 3) status.name = reader.string()
  }
}

/** draft-polli-ratelimit-headers-03, as Envoy writes it: the limit nearest to its end, and the windows of all. */
function limitFields(statuses: readonly Status[]): HeaderList {
  const [first] = statuses
  if (first === undefined) return []
  let nearest = first
  for (const status of statuses) if (status.remaining < nearest.remaining) nearest = status
  let policies = ''
  for (const { perUnit, unit, name } of statuses) {
    const window = WINDOWS[unit] ?? 0
    if (window === 0) continue
    policies += `, ${perUnit};w=${window}${name === '' ? '' : `;name="${name.replaceAll(/[^\x20-\x7e]|["\\]/g, '')}"`}`
  }
  const fields = ['x-ratelimit-limit', `${nearest.perUnit}${policies}`]
  fields.push('x-ratelimit-remaining', String(nearest.remaining))
  fields.push('x-ratelimit-reset', String(Math.floor(nearest.resetMs / 1_000)))
  return fields
}
