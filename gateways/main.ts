/** `isthmus gateway --role east-west`: a data plane whose port 15443 serves the other clusters of the mesh. */
import { MeshError } from '../src/runtime/errors.ts'
import { roleOf, runDataPlane } from '../src/proxy/main.ts'
import { eastWest } from './east-west.ts'

export async function main(argv: readonly string[]): Promise<void> {
  const flags = roleOf('gateway', argv)
  if (flags.role !== 'east-west') throw new MeshError('NOT_BUILT', `isthmus gateway --role ${flags.role}`)
  const { tunnels, live } = eastWest()
  await runDataPlane({ ...flags, nodeType: 'router', tunnels, metrics: () => live.exposition() })
}
