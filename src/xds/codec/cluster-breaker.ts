/**
 * A service's circuit breaker <-> metadata of its cluster. Envoy has no such filter and ignores the metadata; our proxy
 * reads it strictly: a breaker that is half understood would open for the wrong reason, or never.
 */
import { create, type JsonObject } from '@bufbuild/protobuf'
import { type Metadata, MetadataSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import type { BreakerFallback, ServiceBreaker } from '../../model/config.ts'
import { decodeMetadata, FieldReader } from './common.ts'
import { require, type Shape, within } from './shape.ts'

export const BREAKER_METADATA = 'isthmus.circuit_breaker'

export const CLUSTER_METADATA_SHAPE: Shape = { filter_metadata: true }

const HOUR_MS = 3_600_000
const BODY_CHARACTERS_MAX = 65_536

export function encodeBreaker(breaker: ServiceBreaker): Metadata {
  const { windowMs, requestsMin, failurePercent, slow, openMs, rampMs, fallback } = breaker
  const fields: JsonObject = {
    window_ms: windowMs,
    requests_min: requestsMin,
    ...(failurePercent !== undefined && { failure_percent: failurePercent }),
    ...(slow !== undefined && { slow: { after_ms: slow.afterMs, percent: slow.percent } }),
    open_ms: openMs,
    ramp_ms: rampMs,
    ...(fallback !== undefined && { fallback: { ...fallback, headers: [...fallback.headers] } }),
  }
  return create(MetadataSchema, { filterMetadata: { [BREAKER_METADATA]: fields } })
}

export function decodeBreaker(path: string, metadata: Metadata | undefined): { breaker?: ServiceBreaker } {
  const found = decodeMetadata(path, metadata, [BREAKER_METADATA])[BREAKER_METADATA]
  if (found === undefined) return {}
  const at = within(path, `filter_metadata["${BREAKER_METADATA}"]`)
  const reader = new FieldReader(at, found)
  const failurePercent = reader.optionalNumber('failure_percent', PERCENT)
  const slow = reader.optionalObject('slow')
  const fallback = reader.optionalObject('fallback')
  const breaker: ServiceBreaker = {
    windowMs: reader.number('window_ms', { min: 1_000, max: 600_000 }),
    requestsMin: reader.number('requests_min', { min: 1, max: 1_000_000 }),
    ...(failurePercent !== undefined && { failurePercent }),
    ...(slow !== undefined && { slow: decodeSlow(slow) }),
    openMs: reader.number('open_ms', { min: 100, max: HOUR_MS }),
    rampMs: reader.number('ramp_ms', { min: 0, max: HOUR_MS }),
    ...(fallback !== undefined && { fallback: decodeFallback(within(at, 'fallback'), fallback) }),
  }
  reader.end()
  require(at, failurePercent !== undefined || slow !== undefined, 'must say what opens it: failure_percent or slow')
  return { breaker }
}

const PERCENT = { min: 1, max: 100 }

function decodeSlow(reader: FieldReader): NonNullable<ServiceBreaker['slow']> {
  const slow = {
    afterMs: reader.number('after_ms', { min: 1, max: HOUR_MS }),
    percent: reader.number('percent', PERCENT),
  }
  reader.end()
  return slow
}

/** Whoever writes the answer frames it; one more length, or another one, would split it. */
const FRAMING = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding', 'upgrade', 'trailer', 'te'])

function decodeFallback(path: string, reader: FieldReader): BreakerFallback {
  const status = reader.number('status', { min: 200, max: 599 })
  const body = reader.optionalString('body') ?? ''
  const headers = reader.strings('headers')
  reader.end()
  require(within(path, 'body'), body.length <= BODY_CHARACTERS_MAX, `is longer than ${BODY_CHARACTERS_MAX}`)
  const isBodyless = status === 204 || status === 304
  require(within(path, 'body'), body === '' || !isBodyless, `cannot go with status ${status}`)
  require(within(path, 'headers'), headers.length % 2 === 0 && headers.length <= 64, 'must be up to 32 pairs')
  for (const [index, text] of headers.entries()) {
    const isName = index % 2 === 0
    const fits = isName ? /^[a-z0-9!#$%&'*+.^_|~-]+$/.test(text) && !FRAMING.has(text) : /^[ -~\t]*$/.test(text)
    require(`${within(path, 'headers')}[${index}]`, fits, isName ? 'is not a header that may be set' : 'is not a value')
  }
  return { status, body, headers }
}
