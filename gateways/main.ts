/**
 * `isthmus gateway --role ingress|egress|east-west`: data planes at the edge of the mesh. Ingress and egress serve
 * Gateways; port 15443 of the east-west gateway serves the other clusters of the mesh.
 */
import { MeshError } from '../src/runtime/errors.ts'
import { roleOf, runDataPlane } from '../src/proxy/main.ts'
import { eastWest } from './east-west.ts'
import { edgeRole, isEdgeRole } from './edge.ts'

export async function main(argv: readonly string[]): Promise<void> {
  const flags = roleOf('gateway', argv)
  if (isEdgeRole(flags)) return runDataPlane(edgeRole(flags))
  if (flags.role !== 'east-west') {
    throw new MeshError('USAGE', `isthmus gateway --role ${flags.role}: the roles are ingress, egress and east-west`)
  }
  const { tunnels, live } = eastWest()
  await runDataPlane({ ...flags, nodeType: 'router', tunnels, metrics: () => live.exposition() })
}
