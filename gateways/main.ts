/** `isthmus gateway --role east-west`: a data plane whose port 15443 serves the other clusters of the mesh. */
import { MeshError } from '../src/runtime/errors.ts'
import { roleOf, runDataPlane } from '../src/proxy/main.ts'
import { eastWest } from './east-west.ts'

export async function main(argv: readonly string[]): Promise<void> {
  const role = roleOf('gateway', argv)
  if (role !== 'east-west') throw new MeshError('NOT_BUILT', `isthmus gateway --role ${role}`)
  const { tunnels, live } = eastWest()
  await runDataPlane({ role, nodeType: 'router', tunnels, metrics: () => live.exposition() })
}
