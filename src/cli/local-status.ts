/** `isthmus local status` and `kubeconfig`: what the running clusters say of themselves. */
import { connectControl } from '../local/cluster/control-client.ts'
import type { ClusterStatus } from '../local/cluster/control-api.ts'
import { mergedKubeconfig } from '../local/cluster/kubeconfig-file.ts'
import { clusterPaths, defaultStateDirectory, kubeconfigPath, readSpec } from '../local/cluster/state-directory.ts'
import { isClusterRunning, knownClusters } from '../local/cluster/supervisor.ts'
import { MeshError } from '../runtime/errors.ts'
import type { StateFlags, StatusFlags } from './local.ts'
import { age, outputFormat, print, renderTable } from './output.ts'

interface Row {
  readonly name: string
  readonly state: 'running' | 'stopped' | 'unresponsive'
  readonly place: string
  readonly status: ClusterStatus | undefined
}

export async function status(flags: StatusFlags): Promise<void> {
  const format = outputFormat(flags.output)
  const stateDir = flags.state ?? defaultStateDirectory()
  const rows = await Promise.all(knownClusters(stateDir).map((name) => rowOf(stateDir, name)))
  const value = {
    stateDir,
    kubeconfig: kubeconfigPath(stateDir),
    clusters: rows.map(({ name, state, status: facts }) => ({ ...facts, name, state })),
  }
  await print(format, value, () =>
    rows.length === 0 ? `no clusters are known in ${stateDir}; start some with: isthmus local up` : table(rows),
  )
}

export async function kubeconfig(flags: StateFlags): Promise<void> {
  const stateDir = flags.state ?? defaultStateDirectory()
  const text = await mergedKubeconfig(stateDir)
  if (text === undefined) throw new MeshError('LOCAL_NOT_RUNNING', `no cluster of ${stateDir} runs`)
  process.stdout.write(text)
}

async function rowOf(stateDir: string, name: string): Promise<Row> {
  const paths = clusterPaths(stateDir, name)
  const spec = readSpec(paths)
  const place = spec === undefined ? '' : `${spec.cloud}/${spec.region}`
  if (!isClusterRunning(paths)) return { name, state: 'stopped', place, status: undefined }
  try {
    return { name, state: 'running', place, status: await connectControl(paths.socket).status() }
  } catch {
    return { name, state: 'unresponsive', place, status: undefined }
  }
}

function table(rows: readonly Row[]): string {
  const header = ['CLUSTER', 'STATE', 'PLACE', 'API SERVER', 'PODS READY', 'PROCESSES', 'MEMORY', 'FAULTS', 'AGE']
  return renderTable([header, ...rows.map(cells)])
}

function cells({ name, state, place, status: facts }: Row): string[] {
  if (facts === undefined) return [name, state, place]
  const { pods, faults, rssBytes, uptimeMs, url } = facts
  const list = [
    ...faults.holds.map(({ namespace, selector }) => `hold ${namespace}/${selector || '*'}`),
    ...(faults.cut ? ['cut'] : []),
  ]
  return [
    name,
    state,
    place,
    url,
    `${pods.ready}/${pods.total}`,
    String(pods.processes),
    `${Math.round(rssBytes / 1024 / 1024)} MiB`,
    list.length === 0 ? '-' : list.join(', '),
    age(0, uptimeMs),
  ]
}
