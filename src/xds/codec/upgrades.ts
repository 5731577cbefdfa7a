/**
 * upgrade_configs of listeners and routes <-> Upgrade[]. CONNECT among them is no upgrade: on a route it says that the
 * tunnel ends here, and a listener that has nothing else is a gateway's (http-connection-manager.ts).
 */
import type { RouteAction_UpgradeConfig as RouteUpgrade } from '#gen/envoy/config/route/v3/route_components_pb.js'
import type { HttpConnectionManager_UpgradeConfig as ListenerUpgrade } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js'
import { MESH_UPGRADES, type RouteMatch, type Upgrade } from '../../model/config.ts'
import { require, type Shape, within } from './shape.ts'

export const CONNECT = 'CONNECT'
export const LISTENER_UPGRADES_SHAPE: Shape = { upgrade_type: true, enabled: true }
export const ROUTE_UPGRADES_SHAPE: Shape = { upgrade_type: true, enabled: true, connect_config: {} }

interface UpgradeInit {
  upgradeType: string
  enabled?: boolean
}

export function encodeUpgrades(upgrades: readonly Upgrade[]): UpgradeInit[] {
  return upgrades.map(({ type, enabled }) => (enabled ? { upgradeType: type } : { upgradeType: type, enabled: false }))
}

/** Enabled or not, each type once, as Envoy wants it. */
export function decodeUpgrades(
  path: string,
  configs: readonly Pick<ListenerUpgrade | RouteUpgrade, 'upgradeType' | 'enabled'>[],
): Upgrade[] {
  const seen = new Set<string>()
  return configs.map(({ upgradeType, enabled }, index) => {
    const at = `${path}[${index}]`
    const type = upgradeType.toLowerCase()
    require(within(at, 'upgrade_type'), /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(type), 'is no token')
    require(within(at, 'upgrade_type'), !seen.has(type), 'is there twice')
    seen.add(type)
    return { type, enabled: enabled ?? true }
  })
}

/** Those of a mesh listener; absent when they are the ones it has anyway. */
export function decodeMeshUpgrades(path: string, configs: readonly ListenerUpgrade[]): { upgrades?: Upgrade[] } {
  const upgrades = decodeUpgrades(path, configs)
  const isDefault =
    upgrades.length === MESH_UPGRADES.length &&
    upgrades.every(({ type, enabled }, index) => {
      const usual = MESH_UPGRADES[index]
      return type === usual?.type && enabled === usual.enabled
    })
  return isDefault ? {} : { upgrades }
}

/** A CONNECT route ends the CONNECT, and only such a route does. */
export function decodeRouteUpgrades(
  path: string,
  configs: readonly RouteUpgrade[],
  match: RouteMatch,
): { upgrades?: Upgrade[] } {
  if (match.kind === 'connect') {
    const [first, ...rest] = configs
    const ends =
      first?.upgradeType.toUpperCase() === CONNECT && first.connectConfig !== undefined && first.enabled !== false
    require(path, ends && rest.length === 0, 'a CONNECT route must end the CONNECT')
    return {}
  }
  for (const [index, { upgradeType, connectConfig }] of configs.entries()) {
    const isConnect = upgradeType.toUpperCase() === CONNECT || connectConfig !== undefined
    require(`${path}[${index}]`, !isConnect, 'CONNECT is supported on CONNECT routes only')
  }
  return configs.length === 0 ? {} : { upgrades: decodeUpgrades(path, configs) }
}
