/**
 * What table, virtual host, route and weighted cluster say to filters <-> `typed_per_filter_config`: a filter's own
 * message, alone or inside a FilterConfig that also switches it; and a route's `allow`, RBAC in its simplest form.
 */
import { create } from '@bufbuild/protobuf'
import { anyPack, anyUnpack, type Any } from '@bufbuild/protobuf/wkt'
import { RBAC_Action as Action } from '#gen/envoy/config/rbac/v3/rbac_pb.js'
import { FilterConfigSchema } from '#gen/envoy/config/route/v3/route_components_pb.js'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { FILTER_NAMES, type PrincipalRule, type RoutedFilter, type RoutedFilters } from '../../model/config.ts'
import { decodeRouted, encodeRouted, typeOf } from './http-filters.ts'
import { ALLOW_POLICY, decodeRules, encodeRules, RULES_SHAPE } from './principals.ts'
import { present, type Shape, unpackShaped, within } from './shape.ts'

const PER_ROUTE_RBAC_SHAPE: Shape = { rbac: { rules: RULES_SHAPE } }
const SWITCH_SHAPE: Shape = { config: true, disabled: true }

type Configs = Record<string, Any>

export interface PerRoute {
  readonly filters?: RoutedFilters
  readonly allow?: PrincipalRule
}

/** Of levels that know no `allow`. */
export const said = (filters: RoutedFilters | undefined): PerRoute => (filters === undefined ? {} : { filters })

export function encodePerRoute({ filters, allow }: PerRoute): Configs {
  const configs: Configs = {}
  for (const [name, filter] of Object.entries(filters ?? {})) configs[name] = encodeNamed(filter)
  if (allow !== undefined) {
    const message = create(RBACPerRouteSchema, { rbac: { rules: encodeRules(allow) } })
    configs[FILTER_NAMES.rbac] = anyPack(RBACPerRouteSchema, message)
  }
  return configs
}

function encodeNamed(filter: RoutedFilter): Any {
  if (filter.kind !== 'off') return encodeRouted(filter)
  return anyPack(FilterConfigSchema, create(FilterConfigSchema, { disabled: true }))
}

/** Of a route, to be spread. */
export function decodePerRoute(path: string, configs: Readonly<Configs>): PerRoute {
  const simple = configs[FILTER_NAMES.rbac]
  if (simple === undefined || !isAllow(simple)) return decodePerHost(path, configs)
  const { [FILTER_NAMES.rbac]: _, ...others } = configs
  const allow = decodeAllow(`${path}["${FILTER_NAMES.rbac}"]`, simple)
  return { ...decodePerHost(path, others), allow }
}

/** Of the other levels, to be spread; there RBAC has no simplest form. */
export function decodePerHost(path: string, configs: Readonly<Configs>): Pick<PerRoute, 'filters'> {
  const entries = Object.entries(configs).map(
    ([name, config]) => [name, decodeNamed(`${path}["${name}"]`, config)] as const,
  )
  return entries.length === 0 ? {} : { filters: Object.fromEntries(entries) }
}

function decodeNamed(path: string, config: Any): RoutedFilter {
  if (typeOf(path, config) !== FilterConfigSchema.typeName) return decodeRouted(path, config)
  const { disabled, config: inner } = unpackShaped(FilterConfigSchema, config, SWITCH_SHAPE, path)
  if (disabled) return { kind: 'off' }
  return decodeRouted(within(path, 'config'), inner)
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
