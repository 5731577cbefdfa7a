/** CORS: listed by a chain, configured by virtual host and route. */
import { create } from '@bufbuild/protobuf'
import {
  type CorsPolicy as CorsMessage,
  CorsPolicySchema,
  CorsSchema,
} from '#gen/envoy/extensions/filters/http/cors/v3/cors_pb.js'
import type { CorsPolicy } from '../../../model/config.ts'
import { decodeString, encodeString, STRING_SHAPE } from '../matchers.ts'
import { require, type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const CORS_SHAPE: Shape = {
  allow_origin_string_match: STRING_SHAPE,
  allow_methods: true,
  allow_headers: true,
  expose_headers: true,
  max_age: true,
  allow_credentials: {},
}

export const corsCodec: FilterCodec<'cors'> = {
  listed: messageCodec(CorsSchema, { shape: {}, decode: () => ({}), encode: () => create(CorsSchema) }),
  routed: messageCodec(CorsPolicySchema, { shape: CORS_SHAPE, decode: decodeCors, encode: encodeCors }),
}

function encodeCors(policy: CorsPolicy): CorsMessage {
  return create(CorsPolicySchema, {
    allowOriginStringMatch: policy.origins.map(encodeString),
    allowMethods: policy.methods ?? '',
    allowHeaders: policy.headers ?? '',
    exposeHeaders: policy.expose ?? '',
    maxAge: policy.maxAge ?? '',
    ...(policy.credentials === true && { allowCredentials: true }),
  })
}

function decodeCors(path: string, message: CorsMessage): CorsPolicy {
  const text = (field: string, value: string): string => {
    require(within(path, field), /^[\t\x20-\x7e]*$/.test(value), 'has a byte that has no place in a header')
    return value
  }
  const { allowMethods, allowHeaders, exposeHeaders, maxAge } = message
  return {
    origins: message.allowOriginStringMatch.map((match, index) =>
      decodeString(`${path}.allow_origin_string_match[${index}]`, match),
    ),
    ...(allowMethods !== '' && { methods: text('allow_methods', allowMethods) }),
    ...(allowHeaders !== '' && { headers: text('allow_headers', allowHeaders) }),
    ...(exposeHeaders !== '' && { expose: text('expose_headers', exposeHeaders) }),
    ...(maxAge !== '' && { maxAge: text('max_age', maxAge) }),
    ...(message.allowCredentials === true && { credentials: true }),
  }
}
