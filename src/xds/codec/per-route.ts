/** What virtual host and route say to filters <-> `typed_per_filter_config`, `allow` among it. */
import { create } from '@bufbuild/protobuf'
import { anyPack, anyUnpack, type Any } from '@bufbuild/protobuf/wkt'
import { RBAC_Action as Action } from '#gen/envoy/config/rbac/v3/rbac_pb.js'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { FILTER_ORDER, type HttpFilters, type PrincipalRule } from '../../model/config.ts'
import { decodeFilter, encodeFilter, FILTER_NAMES } from './http-filters.ts'
import { ALLOW_POLICY, decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { present, refuse, type Shape, unpackShaped, within } from './shape.ts'

const HTTP_RBAC_FILTER = FILTER_NAMES.rbac
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

/** Of a route, to be spread. */
export function decodePerRoute(path: string, configs: Readonly<Configs>): PerRoute {
  const filters: HttpFilters = {}
  let allow: PrincipalRule | undefined
  for (const [name, config] of Object.entries(configs)) {
    const simple = name === HTTP_RBAC_FILTER && isAllow(config)
    if (simple) allow = decodeAllow(`${path}["${name}"]`, config)
    else Object.assign(filters, decodeNamed(path, name, config))
  }
  return {
    ...(Object.keys(filters).length > 0 && { filters }),
    ...(allow !== undefined && { allow }),
  }
}

/** Of a virtual host, to be spread; there RBAC has no simplest form. */
export function decodePerHost(path: string, configs: Readonly<Configs>): Pick<PerRoute, 'filters'> {
  const filters: HttpFilters = {}
  for (const [name, config] of Object.entries(configs)) Object.assign(filters, decodeNamed(path, name, config))
  return Object.keys(filters).length === 0 ? {} : { filters }
}

function decodeNamed(path: string, name: string, config: Any): HttpFilters {
  const at = `${path}["${name}"]`
  const kind = FILTER_ORDER.find((candidate) => FILTER_NAMES[candidate] === name)
  return kind === undefined ? refuse(at, 'is not supported') : decodeFilter(at, kind, config)
}

/** The simplest form, which routes of this mesh have; everything else is a policy of its own. */
function isAllow(config: Any): boolean {
  let rules
  try {
    rules = anyUnpack(config, RBACPerRouteSchema)?.rbac?.rules
  } catch {
    // The decoder of policies says what is wrong with the bytes, and where.
    return false
  }
  return rules?.action === Action.ALLOW && Object.keys(rules.policies).every((name) => name === ALLOW_POLICY)
}

function decodeAllow(path: string, config: Any): PrincipalRule {
  const perRoute = unpackShaped(RBACPerRouteSchema, config, PER_ROUTE_RBAC_SHAPE, path)
  const rules = present(within(path, 'rbac.rules'), perRoute.rbac?.rules)
  return decodeRules(within(path, 'rbac.rules'), rules)
}
