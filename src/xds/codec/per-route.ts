/** What virtual host and route say to filters <-> `typed_per_filter_config`, `allow` among it. */
import { create } from '@bufbuild/protobuf'
import { anyPack, type Any } from '@bufbuild/protobuf/wkt'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { FILTER_ORDER, type HttpFilters, type PrincipalRule } from '../../model/config.ts'
import { decodeFilter, encodeFilter, FILTER_NAMES } from './http-filters.ts'
import { decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { present, refuse, type Shape, unpackShaped, within } from './shape.ts'

export const HTTP_RBAC_FILTER = 'envoy.filters.http.rbac'
const PER_ROUTE_RBAC_SHAPE: Shape = { rbac: { rules: RULES_SHAPE } }

type Configs = Record<string, Any>

export interface PerRoute {
  readonly filters?: HttpFilters
  readonly allow?: PrincipalRule
}

export function encodePerRoute({ filters, allow }: PerRoute): Configs {
  const configs: Configs = {}
  for (const kind of FILTER_ORDER) {
    const config = filters === undefined ? undefined : encodeFilter(kind, filters)
    if (config !== undefined) configs[FILTER_NAMES[kind]] = config
  }
  if (allow !== undefined) {
    const message = create(RBACPerRouteSchema, { rbac: { rules: encodeRules(allow) } })
    configs[HTTP_RBAC_FILTER] = anyPack(RBACPerRouteSchema, message)
  }
  return configs
}

/** To be spread. */
export function decodePerRoute(path: string, configs: Readonly<Configs>): PerRoute {
  const filters: HttpFilters = {}
  let allow: PrincipalRule | undefined
  for (const [name, config] of Object.entries(configs)) {
    const at = `${path}["${name}"]`
    const kind = FILTER_ORDER.find((candidate) => FILTER_NAMES[candidate] === name)
    if (kind !== undefined) Object.assign(filters, decodeFilter(at, kind, config))
    else if (name === HTTP_RBAC_FILTER) allow = decodeAllow(at, config)
    else refuse(at, 'is not supported')
  }
  return {
    ...(Object.keys(filters).length > 0 && { filters }),
    ...(allow !== undefined && { allow }),
  }
}

function decodeAllow(path: string, config: Any): PrincipalRule {
  const perRoute = unpackShaped(RBACPerRouteSchema, config, PER_ROUTE_RBAC_SHAPE, path)
  const rules = present(within(path, 'rbac.rules'), perRoute.rbac?.rules)
  return decodeRules(within(path, 'rbac.rules'), rules)
}
