/** The demo's clusters: started on this machine, each with a client, a connection and its fault control. */
import { createKubeClient } from '../../kube/http-client.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { KubeConnection } from '../../kube/connection.ts'
import { kubeconfigConnection } from '../../kube/kubeconfig.ts'
import { startClusters, type LocalCluster, type LocalClusters } from '../../local/cluster/supervisor.ts'
import { MeshError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { DemoCluster, DemoConfig } from './config.ts'
import type { FaultControl } from './script.ts'

export interface DemoClusterHandle {
  readonly config: DemoCluster
  readonly url: string
  readonly client: KubeClient
  readonly connection: KubeConnection
  readonly clustersetCidr: string
  readonly control: FaultControl
}

export interface DemoClusters {
  readonly stateDir: string
  readonly kubeconfigPath: string
  readonly running: readonly DemoClusterHandle[]
  /** Aborts when the clusters are about to stop or are let go: watches end quietly. */
  readonly closing: AbortSignal
  get(name: string): DemoClusterHandle
  /** Requests of ServiceAccounts that RBAC refused, over all clusters. */
  forbiddenRequests(): Promise<number>
  stop(): Promise<void>
  /** Lets them run on. */
  release(): void
}

export interface OpenOptions {
  readonly demo: DemoConfig
  readonly stateDir: string
  readonly log: Log
  readonly progress: (text: string) => void
  /** They outlive this process. */
  readonly detached: boolean
}

export async function openClusters({ demo, stateDir, log, progress, detached }: OpenOptions): Promise<DemoClusters> {
  const local = await startClusters({
    stateDir,
    clusters: demo.clusters.map(({ name, cloud, region, zones }) => ({ name, cloud, region, zones })),
    log,
    detached,
    onProgress: (name, step, elapsedMs) => {
      if (step === 'ready') progress(`cluster ${name}: API server up after ${(elapsedMs / 1_000).toFixed(1)} s`)
    },
  })
  const closing = new AbortController()
  const running = await Promise.all(local.clusters.map((cluster) => open(cluster, { local, demo })))
  const close = (): void => {
    closing.abort()
    for (const { client } of running) client.close()
  }
  return {
    stateDir: local.stateDir,
    kubeconfigPath: local.kubeconfigPath,
    running,
    closing: closing.signal,
    get: (name) => {
      const found = running.find(({ config }) => config.name === name)
      if (found === undefined) throw new MeshError('DEMO_CONFIG', `"${name}" is not the name of a cluster of the demo`)
      return found
    },
    forbiddenRequests: async () => {
      const states = await Promise.all(local.clusters.map(({ control }) => control.status()))
      return states.reduce((sum, { forbiddenRequests }) => sum + forbiddenRequests, 0)
    },
    stop: async () => {
      close()
      await local.stop()
    },
    release: () => {
      close()
      local.release()
    },
  }
}

async function open(
  cluster: LocalCluster,
  { local, demo }: { local: LocalClusters; demo: DemoConfig },
): Promise<DemoClusterHandle> {
  const config = demo.clusters.find(({ name }) => name === cluster.name)
  if (config === undefined)
    throw new MeshError('INTERNAL', `cluster ${cluster.name} was started and is not in the configuration`)
  const connection = await kubeconfigConnection({ path: local.kubeconfigPath, context: cluster.kubeconfigContext })
  return {
    config,
    url: cluster.url,
    client: createKubeClient(connection),
    connection,
    clustersetCidr: cluster.status.clustersetCidr,
    control: {
      killPods: async ({ namespace, labelSelector }) => {
        const { killed } = await cluster.control.killPods({ namespace, selector: labelSelector, hold: true })
        if (killed.length === 0)
          throw new MeshError(
            'DEMO_CONFIG',
            `no pod of ${namespace} in ${cluster.name} has the labels ${labelSelector}`,
          )
      },
      cut: () => cluster.control.cut(),
      heal: () => cluster.control.heal(),
    },
  }
}
