/** Basic authentication: users and what the endpoint is told. */
import { create } from '@bufbuild/protobuf'
import {
  BasicAuthPerRouteSchema,
  BasicAuthSchema,
} from '#gen/envoy/extensions/filters/http/basic_auth/v3/basic_auth_pb.js'
import { decodeSource, encodeSource, hidden, revealed } from '../generic-tls.ts'
import { decodeName } from '../header-mutations.ts'
import { type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const USERS_SHAPE: Shape = { filename: true, inline_bytes: true, inline_string: true, environment_variable: true }

export const basicAuthCodec: FilterCodec<'basicAuth'> = {
  listed: messageCodec(BasicAuthSchema, {
    shape: { users: USERS_SHAPE, forward_username_header: true },
    decode: (path, { users, forwardUsernameHeader: header }) => ({
      users: hidden(decodeSource(within(path, 'users'), users)),
      ...(header !== '' && { userHeader: decodeName(within(path, 'forward_username_header'), header) }),
    }),
    encode: ({ users, userHeader }) =>
      create(BasicAuthSchema, {
        users: { specifier: encodeSource(revealed(users)) },
        forwardUsernameHeader: userHeader ?? '',
      }),
  }),
  routed: messageCodec(BasicAuthPerRouteSchema, {
    shape: { users: USERS_SHAPE },
    decode: (path, { users }) => ({ users: hidden(decodeSource(within(path, 'users'), users)) }),
    encode: ({ users }) => create(BasicAuthPerRouteSchema, { users: { specifier: encodeSource(revealed(users)) } }),
  }),
}
