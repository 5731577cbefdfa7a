/** Fault injection. */
import { create } from '@bufbuild/protobuf'
import { type HTTPFault, HTTPFaultSchema } from '#gen/envoy/extensions/filters/http/fault/v3/fault_pb.js'
import type { FaultPolicy } from '../../../model/config.ts'
import { decodeDuration, encodeDuration } from '../common.ts'
import { decodeHeaderMatch, encodeHeaderMatch, HEADER_SHAPE } from '../matchers.ts'
import { require, type Shape, within } from '../shape.ts'
import { decodePercent, encodePercent, PERCENT_SHAPE } from './fractions.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const FAULT_SHAPE: Shape = {
  delay: { fixed_delay: true, percentage: PERCENT_SHAPE },
  abort: { http_status: true, percentage: PERCENT_SHAPE },
  headers: HEADER_SHAPE,
}

const codec = messageCodec(HTTPFaultSchema, { shape: FAULT_SHAPE, decode: decodeFault, encode: encodeFault })

export const faultCodec: FilterCodec<'fault'> = { listed: codec, routed: codec }

function encodeFault({ delay, abort, headers }: FaultPolicy): HTTPFault {
  return create(HTTPFaultSchema, {
    ...(delay !== undefined && {
      delay: {
        faultDelaySecifier: { case: 'fixedDelay', value: encodeDuration(delay.ms) },
        percentage: encodePercent(delay.share),
      },
    }),
    ...(abort !== undefined && {
      abort: { errorType: { case: 'httpStatus', value: abort.status }, percentage: encodePercent(abort.share) },
    }),
    headers: (headers ?? []).map(encodeHeaderMatch),
  })
}

function decodeFault(path: string, { delay, abort, headers }: HTTPFault): FaultPolicy {
  const matches = headers.map((header, index) => decodeHeaderMatch(`${path}.headers[${index}]`, header))
  const fixed = delay?.faultDelaySecifier.case === 'fixedDelay' ? delay.faultDelaySecifier.value : undefined
  const status = abort?.errorType.case === 'httpStatus' ? abort.errorType.value : 0
  require(within(path, 'abort.http_status'), abort === undefined ||
    (status >= 200 && status < 600), 'must be from 200 to 599')
  return {
    ...(delay !== undefined && {
      delay: {
        ms: decodeDuration(within(path, 'delay.fixed_delay'), fixed),
        share: decodePercent(within(path, 'delay.percentage'), delay.percentage),
      },
    }),
    ...(abort !== undefined && {
      abort: { status, share: decodePercent(within(path, 'abort.percentage'), abort.percentage) },
    }),
    ...(matches.length > 0 && { headers: matches }),
  }
}
