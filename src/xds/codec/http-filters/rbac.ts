/** RBAC as a filter; its rules are ../rbac.ts. */
import { create } from '@bufbuild/protobuf'
import {
  type RBAC as HttpRbac,
  RBACPerRouteSchema,
  RBACSchema as HttpRbacSchema,
} from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import type { RbacPolicy } from '../../../model/config.ts'
import { decodeRbac, encodeRbac, RBAC_SHAPE } from '../rbac.ts'
import { type Shape, within } from '../shape.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const LISTED_SHAPE: Shape = { rules: RBAC_SHAPE }

export const rbacCodec: FilterCodec<'rbac'> = {
  listed: messageCodec(HttpRbacSchema, { shape: LISTED_SHAPE, decode: decodePolicy, encode: encodePolicy }),
  routed: messageCodec(RBACPerRouteSchema, {
    shape: { rbac: LISTED_SHAPE },
    decode: (path, { rbac }) => (rbac === undefined ? {} : decodePolicy(within(path, 'rbac'), rbac)),
    encode: (policy) => create(RBACPerRouteSchema, { rbac: encodePolicy(policy) }),
  }),
}

function encodePolicy({ rules }: RbacPolicy): HttpRbac {
  return create(HttpRbacSchema, rules === undefined ? {} : { rules: encodeRbac(rules) })
}

function decodePolicy(path: string, { rules }: HttpRbac): RbacPolicy {
  return rules === undefined ? {} : { rules: decodeRbac(within(path, 'rules'), rules) }
}
