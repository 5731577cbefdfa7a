/**
 * Makes the local clusters one mesh, with the verbs a person would use: install, trust init, peers token, peers join,
 * apply. Each step speaks to the clusters' API servers only.
 */
import { join } from 'node:path'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { MeshError } from '../../runtime/errors.ts'
import { IMAGE } from '../../runtime/version.ts'
import { applyManifests } from '../../kube/apply.ts'
import { readManifestFiles } from '../../kube/manifests.ts'
import type { KubeClient } from '../../kube/client.ts'
import { CLUSTER_PEERS, DEPLOYMENTS, SERVICE_IMPORTS } from '../../kube/kinds.ts'
import { waitFor } from '../../kube/wait.ts'
import { installManifests } from '../install/manifests.ts'
import { joinWithToken } from '../peers/join.ts'
import { issueToken } from '../peers/token.ts'
import { initTrust } from '../trust.ts'
import type { DemoCluster, DemoConfig } from './config.ts'

export interface RunningCluster {
  readonly config: DemoCluster
  readonly client: KubeClient
  /** Virtual IPs of imported services, from the machine's own plan. */
  readonly clustersetCidr: string
}

const STEP_TIMEOUT_MS = 60_000

export interface MeshSteps {
  readonly demo: DemoConfig
  readonly clusters: readonly RunningCluster[]
  readonly clock: Clock
  readonly progress: (text: string) => void
  /** Aborted by Ctrl-C: what waits stops waiting. */
  readonly signal: AbortSignal
}

export async function buildMesh({ demo, clusters, clock, progress, signal }: MeshSteps): Promise<void> {
  await Promise.all(clusters.map((cluster) => install(cluster, demo.mesh)))
  checkInterrupt(signal)
  const signer = clusters.find(({ config }) => config.name === demo.signer)
  if (signer === undefined) throw new MeshError('DEMO_CONFIG', `signer "${demo.signer}" is not a cluster`)
  await initTrust(signer.client)
  progress(
    `mesh ${demo.mesh} installed in ${clusters.map(({ config }) => config.name).join(', ')}; root in ${demo.signer}`,
  )
  await waitForGateway(signer, { clock, signal })
  await Promise.all(
    clusters.filter((cluster) => cluster !== signer).map((cluster) => joinOne(signer, cluster, { clock, signal })),
  )
  progress('joined with one-time tokens')
  checkInterrupt(signal)
  await Promise.all(clusters.map((cluster) => applyFiles(cluster, demo.directory)))
  await Promise.all(clusters.map((cluster) => waitForWorkloads(cluster, { demo, clusters, clock, signal })))
}

interface Waiting {
  readonly clock: Clock
  readonly signal: AbortSignal
}

function checkInterrupt(signal: AbortSignal): void {
  if (signal.aborted) throw new MeshError('WAIT_ENDED', 'the mesh is no longer wanted')
}

async function install({ client, config, clustersetCidr }: RunningCluster, mesh: string): Promise<void> {
  const gateway = config.gatewayAddress === undefined ? {} : { gatewayAddress: config.gatewayAddress }
  const manifests = installManifests({
    cluster: config.name,
    mesh,
    image: IMAGE,
    clustersetCidr,
    logLevel: 'info',
    ...gateway,
  })
  await applyManifests(client, manifests)
}

/** A token names the gateway's address, so the gateway has to have one. */
async function waitForGateway({ client, config }: RunningCluster, waiting: Waiting): Promise<void> {
  await waitFor(client, DEPLOYMENTS, {
    namespace: SYSTEM_NAMESPACE,
    until: (found) =>
      Object.values(SYSTEM_ACCOUNTS).every((name) => isAvailable(found.find((each) => each.metadata.name === name))),
    what: `${Object.values(SYSTEM_ACCOUNTS).join(', ')} in ${config.name}`,
    timeoutMs: STEP_TIMEOUT_MS,
    ...waiting,
  })
}

async function joinOne(signer: RunningCluster, cluster: RunningCluster, waiting: Waiting): Promise<void> {
  const token = await issueToken(signer.client, { cluster: cluster.config.name })
  await joinWithToken(cluster.client, { token, timeoutMs: STEP_TIMEOUT_MS, ...waiting })
}

async function applyFiles({ client, config }: RunningCluster, directory: string): Promise<void> {
  for (const file of config.apply) await applyManifests(client, await readManifests(join(directory, file)))
}

export async function readManifests(file: string): Promise<readonly object[]> {
  return (await readManifestFiles([file], async () => '')).map(({ object }) => object)
}

interface Readiness extends Waiting {
  readonly demo: DemoConfig
  readonly clusters: readonly RunningCluster[]
}

/** Every Deployment is available, every peer's data path is proven, every chain service is imported or local. */
async function waitForWorkloads(
  { client, config }: RunningCluster,
  { demo, clusters, clock, signal }: Readiness,
): Promise<void> {
  const common = { timeoutMs: STEP_TIMEOUT_MS, clock, signal }
  await Promise.all([
    waitFor(client, DEPLOYMENTS, {
      ...common,
      until: (found) => found.every(isAvailable),
      what: `every Deployment in ${config.name}`,
    }),
    waitFor(client, CLUSTER_PEERS, {
      ...common,
      until: (found) => found.filter(({ status }) => status?.data?.state === 'Healthy').length >= clusters.length - 1,
      what: `a healthy data path from ${config.name} to ${clusters.length - 1} peers`,
    }),
    waitFor(client, SERVICE_IMPORTS, {
      ...common,
      namespace: demo.load.namespace,
      until: (found) => demo.services.every((service) => found.some(({ metadata }) => metadata.name === service)),
      what: `imports of ${demo.services.join(', ')} in ${config.name}`,
    }),
  ])
}

function isAvailable(
  deployment:
    | { spec: { replicas?: number }; status?: { readyReplicas?: number; updatedReplicas?: number } }
    | undefined,
): boolean {
  return deployment !== undefined && (deployment.status?.readyReplicas ?? 0) >= (deployment.spec.replicas ?? 1)
}
