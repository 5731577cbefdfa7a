/** `isthmus local up`: reads the specification, starts detached clusters, says what to do next. */
import { readFile } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import {
  checkDistinct,
  DEFAULT_CLUSTERS,
  parseClusterConfig,
  parseClusterFlag,
  type ClusterSpec,
} from '../local/cluster/cluster-spec.ts'
import { requireNamespaces } from '../local/cluster/namespaces.ts'
import { clusterPaths, defaultStateDirectory, readSpec } from '../local/cluster/state-directory.ts'
import { knownClusters, startClusters } from '../local/cluster/supervisor.ts'
import { MeshError } from '../runtime/errors.ts'
import { createLog } from '../runtime/log.ts'
import type { UpFlags } from './local.ts'
import { progress, writeLine } from './output.ts'
import { requireLinux } from './require-linux.ts'

export async function up(flags: UpFlags): Promise<void> {
  requireLinux()
  const stateDir = flags.state ?? defaultStateDirectory()
  const clusters = planned(await clusterSpecs(flags, stateDir), flags.plan)
  const local = await startClusters({
    stateDir,
    clusters,
    detached: true,
    log: createLog('local', 'warn'),
    onProgress: (cluster, step, elapsedMs) =>
      progress(
        step === 'starting' ? `${cluster}: starting` : `${cluster}: ready after ${(elapsedMs / 1000).toFixed(1)} s`,
      ),
  })
  for (const { name, url } of local.clusters) writeLine(`${name.padEnd(12)} ${url}`)
  writeLine(`export KUBECONFIG=${local.kubeconfigPath}`)
  local.release()
}

/** Known clusters keep the plan they have, unless another is asked for: then the supervisor says why it cannot be. */
function planned(specs: readonly ClusterSpec[], plan: UpFlags['plan']): readonly ClusterSpec[] {
  if (plan === undefined) return specs
  if (plan === 'namespaced') requireNamespaces()
  return specs.map(({ name, cloud, region, zones }) => {
    const spec = { name, cloud, region, zones }
    return plan === 'namespaced' ? { ...spec, plan } : spec
  })
}

async function clusterSpecs(flags: UpFlags, stateDir: string): Promise<readonly ClusterSpec[]> {
  if (flags.config !== undefined && flags.cluster.length > 0) {
    throw new MeshError('USAGE', 'give either --config or --cluster, not both')
  }
  if (flags.config !== undefined) return readConfig(flags.config)
  if (flags.cluster.length > 0) {
    const specs = flags.cluster.map(parseClusterFlag)
    checkDistinct(specs, '--cluster')
    return specs
  }
  const known = knownClusters(stateDir).flatMap((name) => readSpec(clusterPaths(stateDir, name)) ?? [])
  return known.length > 0 ? known : DEFAULT_CLUSTERS
}

async function readConfig(file: string): Promise<ClusterSpec[]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw MeshError.from(error, 'LOCAL_CONFIG', `cannot read ${file}`)
  })
  const document = parseDocument(text)
  const [problem] = document.errors
  if (problem !== undefined) throw new MeshError('LOCAL_CONFIG', `${file}: ${problem.message.split('\n')[0]}`)
  return parseClusterConfig(document.toJS(), file)
}
