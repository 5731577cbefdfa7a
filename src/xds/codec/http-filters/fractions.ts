/** Shares and token buckets, which several filters have. */
import { create } from '@bufbuild/protobuf'
import { type RuntimeFractionalPercent, RuntimeFractionalPercentSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType as Denominator,
  FractionalPercentSchema,
} from '#gen/envoy/type/v3/percent_pb.js'
import { type TokenBucket as BucketMessage, TokenBucketSchema } from '#gen/envoy/type/v3/token_bucket_pb.js'
import type { Fraction, TokenBucket } from '../../../model/config.ts'
import { decodeDuration, encodeDuration } from '../common.ts'
import { present, refuse, require, type Shape, within } from '../shape.ts'

export const PERCENT_SHAPE: Shape = { numerator: true, denominator: true }
/** No runtime can be configured, so a key finds nothing there and the default counts. */
export const FRACTION_SHAPE: Shape = { default_value: PERCENT_SHAPE, runtime_key: true }
export const BUCKET_SHAPE: Shape = { max_tokens: true, tokens_per_fill: true, fill_interval: true }

export function encodeBucket({ tokensMax, tokensPerFill, fillMs }: TokenBucket): BucketMessage {
  return create(TokenBucketSchema, { maxTokens: tokensMax, tokensPerFill, fillInterval: encodeDuration(fillMs) })
}

export function decodeBucket(path: string, message: BucketMessage | undefined): TokenBucket {
  const bucket = present(path, message)
  const tokensPerFill = bucket.tokensPerFill ?? 1
  const fillMs = decodeDuration(within(path, 'fill_interval'), bucket.fillInterval)
  require(within(path, 'max_tokens'), bucket.maxTokens > 0, 'must be above 0')
  require(within(path, 'tokens_per_fill'), tokensPerFill > 0, 'must be above 0')
  require(within(path, 'fill_interval'), fillMs > 0, 'must be above 0')
  return { tokensMax: bucket.maxTokens, tokensPerFill, fillMs }
}

const DENOMINATORS: Readonly<Record<Fraction['denominator'], Denominator>> = {
  100: Denominator.HUNDRED,
  10_000: Denominator.TEN_THOUSAND,
  1_000_000: Denominator.MILLION,
}

export function encodePercent({ numerator, denominator }: Fraction): FractionalPercent {
  return create(FractionalPercentSchema, { numerator, denominator: DENOMINATORS[denominator] })
}

/** Absent is none, as in Envoy. */
export function decodePercent(path: string, message: FractionalPercent | undefined): Fraction {
  const { numerator, denominator } = message ?? { numerator: 0, denominator: Denominator.HUNDRED }
  for (const [total, named] of Object.entries(DENOMINATORS)) {
    if (named === denominator) return { numerator, denominator: Number(total) as Fraction['denominator'] }
  }
  return refuse(within(path, 'denominator'), 'is unknown')
}

export function encodeFraction(fraction: Fraction): RuntimeFractionalPercent {
  return create(RuntimeFractionalPercentSchema, { defaultValue: encodePercent(fraction) })
}

export function decodeFraction(path: string, message: RuntimeFractionalPercent | undefined): Fraction {
  return decodePercent(within(path, 'default_value'), present(within(path, 'default_value'), message?.defaultValue))
}
