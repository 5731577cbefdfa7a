/** `isthmus local fault …`: asks a cluster's control socket. */
import { connectControl, type Control } from '../local/cluster/control-client.ts'
import { clusterPaths, defaultStateDirectory } from '../local/cluster/state-directory.ts'
import { isClusterRunning, knownClusters } from '../local/cluster/supervisor.ts'
import { MeshError } from '../runtime/errors.ts'
import type { ClusterFlag, KillPodsFlags, StateFlags, StatusFlags } from './local.ts'
import { outputFormat, print, renderTable, writeLine } from './output.ts'

export async function killPods(flags: KillPodsFlags): Promise<void> {
  const { namespace, selector } = flags
  const hold = flags.hold === true
  const { killed } = await controlOf(flags, flags.cluster).killPods({ namespace, selector, hold })
  if (killed.length === 0 && !hold) {
    throw new MeshError('POD_UNKNOWN', `no pod in ${flags.cluster}/${namespace} matches "${selector}"`)
  }
  for (const pod of killed) writeLine(`killed ${namespace}/${pod}`)
  if (hold) writeLine(`held until: isthmus local fault heal --cluster ${flags.cluster}`)
}

export async function cut(flags: ClusterFlag): Promise<void> {
  await controlOf(flags, flags.cluster).cut()
  writeLine(`cut ${flags.cluster}; until: isthmus local fault heal --cluster ${flags.cluster}`)
}

export async function heal(flags: ClusterFlag): Promise<void> {
  await controlOf(flags, flags.cluster).heal()
  writeLine(`healed ${flags.cluster}`)
}

export async function list(flags: StatusFlags): Promise<void> {
  const format = outputFormat(flags.output)
  const stateDir = flags.state ?? defaultStateDirectory()
  const running = knownClusters(stateDir).filter((name) => isClusterRunning(clusterPaths(stateDir, name)))
  const found = await Promise.all(
    running.map(async (cluster) => {
      const { holds, cut: isCut } = await controlOf(flags, cluster).faults()
      return { cluster, holds, cut: isCut }
    }),
  )
  const rows = found.flatMap(({ cluster, holds, cut: isCut }) => [
    ...holds.map(({ namespace, selector }) => [cluster, 'kill-pods', `${namespace}/${selector || '*'}`]),
    ...(isCut ? [[cluster, 'cut', "the mesh's own pods"]] : []),
  ])
  await print(format, found, () =>
    rows.length === 0 ? 'no faults' : renderTable([['CLUSTER', 'FAULT', 'TARGET'], ...rows]),
  )
}

function controlOf(flags: StateFlags, cluster: string): Control {
  const stateDir = flags.state ?? defaultStateDirectory()
  const paths = clusterPaths(stateDir, cluster)
  if (!isClusterRunning(paths)) {
    const known = knownClusters(stateDir)
    const hint =
      known.length === 0
        ? 'Start some with `isthmus local up`, or name their directory with --state.'
        : `Known here: ${known.join(', ')}.`
    throw new MeshError('LOCAL_NOT_RUNNING', `cluster ${cluster} does not run in ${stateDir}`, { hint })
  }
  return connectControl(paths.socket)
}
