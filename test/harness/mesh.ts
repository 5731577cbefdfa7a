/**
 * A kept mesh for end-to-end tests: two small clusters (test/e2e/pair) of the built product, joined, in a temporary
 * directory and attached to the test's own process, so that nothing of them can outlive it. One per test file.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { readDemoConfig, type DemoConfig } from '../../src/cli/demo/config.ts'
import { buildMesh, readManifests, type RunningCluster } from '../../src/cli/demo/mesh.ts'
import { applyManifests } from '../../src/kube/apply.ts'
import type { KubeClient } from '../../src/kube/client.ts'
import type { KubeConnection } from '../../src/kube/connection.ts'
import { createKubeClient } from '../../src/kube/http-client.ts'
import { DEFAULT_LIMITS, HttpTransport } from '../../src/kube/http-transport.ts'
import { DEPLOYMENTS, PODS, type Pod } from '../../src/kube/kinds.ts'
import { waitFor } from '../../src/kube/wait.ts'
import { adminConnection } from '../../src/local/cluster/admin-connection.ts'
import type { Control } from '../../src/local/cluster/control-client.ts'
import type { LocalCluster, LocalClusters } from '../../src/local/cluster/supervisor.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { Lines } from './lines.ts'
import { isthmusMain, run, type Outcome, type RunOptions } from './process.ts'
import { repositoryRoot } from './repository.ts'

export interface MeshCluster extends RunningCluster {
  readonly name: string
  readonly client: KubeClient
  readonly connection: KubeConnection
  readonly control: Control
  readonly local: LocalCluster
  /** The first running pod with the label `app=<app>`. */
  pod(app: string, namespace?: string): Promise<Pod>
  /** A container's log from its beginning, as it grows; until the mesh stops. */
  follow(pod: Pod, container: string): Lines
}

export interface Mesh {
  readonly demo: DemoConfig
  readonly stateDir: string
  /** For files of the tests; removed with the mesh. */
  readonly directory: string
  readonly kubeconfigPath: string
  cluster(name: string): MeshCluster
  /** Installs, joins and applies; what the demo does before its load. */
  build(demo?: DemoConfig): Promise<void>
  /** Applies every cluster's manifests of the configuration and waits until each pod is ready. */
  applyWorkloads(): Promise<void>
  /** The built command line against these clusters. */
  isthmus(args: readonly string[], options?: RunOptions): Promise<Outcome>
  kubectl(args: readonly string[], options?: RunOptions): Promise<Outcome>
  stop(): Promise<void>
}

type Supervisor = typeof import('../../src/local/cluster/supervisor.ts')

/** Clusters start programs in the form they run in themselves, and what is judged is the product's: dist. */
async function builtSupervisor(): Promise<Supervisor> {
  return (await import(pathToFileURL(join(repositoryRoot, 'dist/src/local/cluster/supervisor.js')).href)) as Supervisor
}

const PAIR = join(repositoryRoot, 'test/e2e/pair/demo.yaml')

export interface MeshOptions {
  /** Name of one more cluster, which is left empty. */
  readonly spare?: string
}

/** A joined mesh, ready for traffic. */
export async function startMesh(options: MeshOptions = {}): Promise<Mesh> {
  const mesh = await startClusters(options)
  try {
    await mesh.build()
    return mesh
  } catch (error) {
    await mesh.stop()
    throw error
  }
}

/** The clusters, with nothing in them. */
export async function startClusters({ spare }: MeshOptions = {}): Promise<Mesh> {
  const demo = await readDemoConfig(PAIR)
  const empty =
    spare === undefined ? [] : [{ name: spare, cloud: 'gcp', region: 'north1', zones: ['north1-a'], apply: [] }]
  const all = [...demo.clusters, ...empty]
  const directory = await mkdtemp(join(tmpdir(), 'isthmus-e2e-'))
  const stateDir = join(directory, 'state')
  try {
    const { startClusters: startLocal } = await builtSupervisor()
    const local = await startLocal({
      stateDir,
      clusters: all.map(({ name, cloud, region, zones }) => ({ name, cloud, region, zones })),
      log: createLog('e2e', 'warn'),
    })
    return await meshOf(local, { demo, all, directory })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

interface Given {
  readonly demo: DemoConfig
  readonly all: DemoConfig['clusters']
  readonly directory: string
}

async function meshOf(local: LocalClusters, { demo, all, directory }: Given): Promise<Mesh> {
  const clusters = await Promise.all(local.clusters.map((cluster) => clusterOf(cluster, { demo, all })))
  const env = { KUBECONFIG: local.kubeconfigPath }
  const withClusters = (options: RunOptions = {}): RunOptions => ({ ...options, env: { ...env, ...options.env } })
  return {
    demo,
    directory,
    stateDir: local.stateDir,
    kubeconfigPath: local.kubeconfigPath,
    cluster: (name) => clusterNamed(clusters, name),
    build: (other = demo) =>
      buildMesh({
        demo: other,
        clusters: other.clusters.map((config) => ({ ...clusterNamed(clusters, config.name), config })),
        clock: systemClock,
        progress: () => {},
        signal: new AbortController().signal,
      }),
    applyWorkloads: async () => {
      await Promise.all(clusters.map((cluster) => applyFiles(cluster, demo.directory)))
    },
    isthmus: (args, options) => run(process.execPath, [isthmusMain, ...args], withClusters(options)),
    kubectl: (args, options) => run('kubectl', args, withClusters(options)),
    stop: async () => {
      for (const cluster of clusters) {
        cluster.stopFollowing()
        cluster.client.close()
      }
      await local.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function applyFiles({ name, client, config }: MeshCluster, directory: string): Promise<void> {
  for (const file of config.apply) await applyManifests(client, await readManifests(join(directory, file)))
  await waitFor(client, DEPLOYMENTS, {
    until: (found) => found.every(({ spec, status }) => (status?.readyReplicas ?? 0) === (spec.replicas ?? 1)),
    what: `every Deployment in ${name}`,
    timeoutMs: READY_TIMEOUT_MS,
    clock: systemClock,
  })
}

const READY_TIMEOUT_MS = 30_000

interface OpenCluster extends MeshCluster {
  stopFollowing(): void
}

/** Longer than any test. */
const FOLLOW_MS_MAX = 600_000

function clusterNamed<T extends MeshCluster>(clusters: readonly T[], name: string): T {
  const found = clusters.find((cluster) => cluster.name === name)
  if (found === undefined) throw new RangeError(`no cluster ${name}`)
  return found
}

async function clusterOf(local: LocalCluster, { demo, all }: Omit<Given, 'directory'>): Promise<OpenCluster> {
  const config = all.find(({ name }) => name === local.name)
  if (config === undefined) throw new RangeError(`cluster ${local.name} is not in the configuration`)
  const connection = adminConnection(await local.control.kubeconfig())
  const client = createKubeClient(connection)
  const logs = new HttpTransport(connection, systemClock, { ...DEFAULT_LIMITS, watchIdleMs: FOLLOW_MS_MAX })
  const following = new AbortController()
  return {
    name: local.name,
    config,
    client,
    connection,
    clustersetCidr: local.status.clustersetCidr,
    control: local.control,
    local,
    pod: async (app, namespace = demo.load.namespace) => {
      const { items } = await client.list(PODS, { namespace, labelSelector: `app=${app}` })
      const found = items.find(({ status }) => status?.phase === 'Running' && status.podIP !== undefined)
      if (found === undefined) throw new Error(`no running pod app=${app} in ${local.name}/${namespace}`)
      return found
    },
    follow: ({ metadata: { name = '', namespace = '' } }, container) => {
      const lines = new Lines()
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${container}&follow=true`
      const request = { method: 'GET', path, signal: following.signal }
      logs.stream(request, FOLLOW_MS_MAX, (line) => lines.add(line)).catch(() => {})
      return lines
    },
    stopFollowing: () => {
      following.abort()
      logs.close()
    },
  }
}
