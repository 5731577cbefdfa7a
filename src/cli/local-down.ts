/** `isthmus local down`: stops clusters, also those whose process was killed and left pods behind. */
import { defaultStateDirectory } from '../local/cluster/state-directory.ts'
import { writeKubeconfig } from '../local/cluster/kubeconfig-file.ts'
import { knownClusters, purge, stopCluster } from '../local/cluster/supervisor.ts'
import { MeshError } from '../runtime/errors.ts'
import type { DownFlags } from './local.ts'
import { progress } from './output.ts'

export async function down(flags: DownFlags): Promise<void> {
  const stateDir = flags.state ?? defaultStateDirectory()
  const known = knownClusters(stateDir)
  const unknown = flags.cluster.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new MeshError('LOCAL_NOT_RUNNING', `no cluster ${unknown} is known in ${stateDir}`)
  const names = flags.cluster.length > 0 ? flags.cluster : known
  await Promise.all(
    names.map(async (name) => {
      const stopped = await stopCluster(stateDir, name)
      progress(`${name}: ${stopped ? 'stopped' : 'did not run'}`)
    }),
  )
  if (flags.purge === true) await purge(stateDir, names)
  else await writeKubeconfig(stateDir)
}
