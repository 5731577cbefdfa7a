/** `isthmus status`: clusters, parts, peers and exports at a glance, from each cluster's own API server. */
import type { Command } from 'commander'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { messageOf } from '../runtime/errors.ts'
import type { KubeClient } from '../kube/client.ts'
import type { ClusterPeer } from '../kube/kinds.ts'
import { withCluster, type ClusterFlags } from './connect.ts'
import { outputFormat, print, renderTable } from './output.ts'

interface PartStatus {
  readonly name: string
  readonly ready: number
  readonly wanted: number
}

interface ServiceStatus {
  readonly service: string
  /** Clusters that export it, as this cluster knows them. */
  readonly clusters: readonly string[]
}

interface ClusterStatus {
  readonly context: string
  readonly cluster?: string
  readonly mesh?: string
  readonly trust?: 'ready' | 'waiting for a root (isthmus trust init, or peers join)'
  readonly parts: readonly PartStatus[]
  readonly peers: readonly ClusterPeer[]
  readonly exports: readonly string[]
  readonly imports: readonly ServiceStatus[]
  /** Why nothing is known of this cluster. */
  readonly error?: string
}

export function registerStatus(program: Command): void {
  program
    .command('status')
    .description(
      'Clusters, parts of the mesh, peers, exports and imports at a glance; exit 1 when something is not well.',
    )
    .option('--kubeconfig <file>', 'kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)')
    .option('--context <names...>', 'contexts to show (default: every context of the kubeconfig)')
    .option('-o, --output <format>', 'table, json or yaml')
    .addHelpText('after', '\nExamples:\n  isthmus status\n  isthmus status --context east west -o json\n')
    .action(async (flags: { kubeconfig?: string; context?: string[]; output?: string }) => {
      const format = outputFormat(flags.output)
      const { kubeconfigContexts } = await import('../kube/kubeconfig.ts')
      const contexts =
        flags.context ?? (await kubeconfigContexts(flags.kubeconfig === undefined ? {} : { path: flags.kubeconfig }))
      const clusters = await Promise.all(contexts.map((context) => clusterStatus({ ...flags, context })))
      await print(format, clusters, () => statusText(clusters))
      if (clusters.some((cluster) => !isWell(cluster))) process.exitCode = 1
    })
}

async function clusterStatus(flags: ClusterFlags & { context: string }): Promise<ClusterStatus> {
  const empty = { context: flags.context, parts: [], peers: [], exports: [], imports: [] }
  try {
    return await withCluster(flags, async (client) => ({ ...empty, ...(await read(client)) }))
  } catch (error) {
    return { ...empty, error: messageOf(error) }
  }
}

async function read(client: KubeClient): Promise<Omit<ClusterStatus, 'context'>> {
  const { CLUSTER_PEERS, CONFIG_MAPS, DEPLOYMENTS, SERVICE_EXPORTS, SERVICE_IMPORTS } = await import('../kube/kinds.ts')
  const config = await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)
  if (config === undefined)
    return { parts: [], peers: [], exports: [], imports: [], error: 'the mesh is not installed in this cluster' }
  const [trust, deployments, peers, exports, imports] = await Promise.all([
    client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE),
    client.list(DEPLOYMENTS, { namespace: SYSTEM_NAMESPACE }),
    client.list(CLUSTER_PEERS),
    client.list(SERVICE_EXPORTS),
    client.list(SERVICE_IMPORTS),
  ])
  const parts = Object.values(SYSTEM_ACCOUNTS).map((name): PartStatus => {
    const found = deployments.items.find((each) => each.metadata.name === name)
    return { name, ready: found?.status?.readyReplicas ?? 0, wanted: found?.spec.replicas ?? 1 }
  })
  return {
    ...(config.data?.['cluster'] === undefined ? {} : { cluster: config.data['cluster'] }),
    ...(config.data?.['mesh'] === undefined ? {} : { mesh: config.data['mesh'] }),
    trust:
      trust?.data?.['intermediate.pem'] === undefined
        ? 'waiting for a root (isthmus trust init, or peers join)'
        : 'ready',
    parts,
    peers: peers.items,
    exports: exports.items.map((each) => `${each.metadata.namespace ?? ''}/${each.metadata.name ?? ''}`),
    imports: imports.items.map((each) => ({
      service: `${each.metadata.namespace ?? ''}/${each.metadata.name ?? ''}`,
      clusters: (each.status?.clusters ?? []).map(({ cluster }) => cluster),
    })),
  }
}

function isWell(cluster: ClusterStatus): boolean {
  return (
    cluster.error === undefined &&
    cluster.trust === 'ready' &&
    cluster.parts.every(({ ready, wanted }) => ready >= wanted) &&
    cluster.peers.every((peer) => peer.status?.data?.state !== 'Lost')
  )
}

export function statusText(clusters: readonly ClusterStatus[]): string {
  const overview = clusters.map((cluster) => [
    cluster.cluster ?? cluster.context,
    cluster.mesh ?? '-',
    cluster.error ?? cluster.trust ?? '-',
    ...partCells(cluster.parts),
    String(cluster.exports.length),
    String(cluster.imports.length),
  ])
  const peers = clusters.flatMap((cluster) =>
    cluster.peers.map((peer) => [
      `${cluster.cluster ?? cluster.context} -> ${peer.metadata.name ?? ''}`,
      peer.status?.sync?.state ?? 'Never',
      peer.status?.data?.state ?? 'Unknown',
      peer.status?.data?.rttMs === undefined ? '-' : `${peer.status.data.rttMs.toFixed(1)} ms`,
    ]),
  )
  const sections = [
    renderTable([
      ['CLUSTER', 'MESH', 'TRUST', 'CONTROL-PLANE', 'FEDERATION', 'EAST-WEST', 'EXPORTS', 'IMPORTS'],
      ...overview,
    ]),
  ]
  if (peers.length > 0) sections.push(renderTable([['LINK', 'SYNC', 'DATA', 'RTT'], ...peers]))
  const imports = importRows(clusters)
  if (imports.length > 0) sections.push(renderTable([['SERVICE', 'EXPORTED BY', 'KNOWN IN'], ...imports]))
  return sections.join('\n\n')
}

function partCells(parts: readonly PartStatus[]): readonly string[] {
  return Object.values(SYSTEM_ACCOUNTS).map((name) => {
    const part = parts.find((each) => each.name === name)
    return part === undefined ? '-' : `${part.ready}/${part.wanted}`
  })
}

/** One row per service and set of exporters: a cluster that sees another set shows up as a row of its own. */
function importRows(clusters: readonly ClusterStatus[]): readonly (readonly string[])[] {
  const rows = new Map<string, { service: string; exporters: string; knownIn: string[] }>()
  for (const cluster of clusters) {
    for (const { service, clusters: exporting } of cluster.imports) {
      const exporters = [...exporting].sort().join(',')
      const row = rows.get(`${service} ${exporters}`) ?? { service, exporters, knownIn: [] }
      row.knownIn.push(cluster.cluster ?? cluster.context)
      rows.set(`${service} ${exporters}`, row)
    }
  }
  return [...rows.values()].map((row) => [row.service, row.exporters, row.knownIn.join(',')])
}
