/**
 * The ingress and egress roles: a data plane that serves the listeners of Gateways to anyone, as Envoy would, and the
 * mesh's own port to the mesh. Which Gateways those are is the control plane's matter; both roles run the same parts.
 */
import type { DataPlaneRole, RoleFlags } from '../src/proxy/main.ts'

/** `reverse`: what Gateways ask for. `inbound`: callers of the mesh, at the port that sidecars have too. */
export const EDGE_MODES = ['reverse', 'inbound'] as const satisfies NonNullable<DataPlaneRole['modes']>

const EDGE_ROLES: ReadonlySet<string> = new Set(['ingress', 'egress'])

export const isEdgeRole = ({ role }: RoleFlags): boolean => EDGE_ROLES.has(role)

export const edgeRole = (flags: RoleFlags): DataPlaneRole => ({ ...flags, nodeType: 'router', modes: EDGE_MODES })
