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
import { decodeScope } from './ext-authz.ts'
import { type FilterCodec, messageCodec } from './message-codec.ts'

const LISTED_SHAPE: Shape = {
  rules: RBAC_SHAPE,
  shadow_rules: RBAC_SHAPE,
  rules_stat_prefix: true,
  shadow_rules_stat_prefix: true,
}
/** Routes count where their filter does. */
const ROUTED_SHAPE: Shape = { rules: RBAC_SHAPE, shadow_rules: RBAC_SHAPE }

export const rbacCodec: FilterCodec<'rbac'> = {
  listed: messageCodec(HttpRbacSchema, { shape: LISTED_SHAPE, decode: decodePolicy, encode: encodePolicy }),
  routed: messageCodec(RBACPerRouteSchema, {
    shape: { rbac: ROUTED_SHAPE },
    decode: (path, { rbac }) => (rbac === undefined ? {} : decodePolicy(within(path, 'rbac'), rbac)),
    encode: (policy) => create(RBACPerRouteSchema, { rbac: encodePolicy(policy) }),
  }),
}

function encodePolicy({ rules, shadow, statPrefix = '', shadowStatPrefix = '' }: RbacPolicy): HttpRbac {
  return create(HttpRbacSchema, {
    ...(rules !== undefined && { rules: encodeRbac(rules) }),
    ...(shadow !== undefined && { shadowRules: encodeRbac(shadow) }),
    rulesStatPrefix: statPrefix,
    shadowRulesStatPrefix: shadowStatPrefix,
  })
}

function decodePolicy(path: string, message: HttpRbac): RbacPolicy {
  const { rules, shadowRules: shadow, rulesStatPrefix: prefix, shadowRulesStatPrefix: shadowPrefix } = message
  return {
    ...(rules !== undefined && { rules: decodeRbac(within(path, 'rules'), rules) }),
    ...(shadow !== undefined && { shadow: decodeRbac(within(path, 'shadow_rules'), shadow) }),
    ...(prefix !== '' && { statPrefix: decodeScope(within(path, 'rules_stat_prefix'), prefix) }),
    ...(shadowPrefix !== '' && {
      shadowStatPrefix: decodeScope(within(path, 'shadow_rules_stat_prefix'), shadowPrefix),
    }),
  }
}
