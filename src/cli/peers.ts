/** `isthmus peers`: one-time join tokens, joining, and the peers of a cluster with both of their signals. */
import type { Command } from 'commander'
import { OBJECTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { MeshError } from '../runtime/errors.ts'
import type { ClusterPeer } from '../kube/kinds.ts'
import type { KubeClient } from '../kube/client.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { notBuilt } from './not-built.ts'
import { outputFormat, print, progress, renderTable, writeLine } from './output.ts'

export function registerPeers(program: Command): void {
  const peers = program.command('peers').description('Clusters of the mesh: invite, join, list.')
  registerToken(peers)
  registerJoin(peers)
  registerList(peers)
  for (const verb of ['describe', 'approve', 'revoke', 'rotate', 'leave', 'accept']) {
    peers.command(`${verb} [args...]`, { hidden: true }).action(() => notBuilt(`isthmus peers ${verb}`))
  }
}

function registerToken(peers: Command): void {
  const command = peers
    .command('token')
    .description('Write a one-time token with which one named cluster may join; valid for 10 minutes.')
    .requiredOption('--cluster <name>', 'name of the cluster that will join')
    .option('--key <sha256>', 'bind the token to the joining cluster’s CA key (hex SHA-256 of its public key)')
  withClusterFlags(command).addHelpText(
    'after',
    '\nExample:\n  isthmus peers token --context east --cluster west > west.token\n',
  )
  command.action(async (flags: ClusterFlags & { cluster: string; key?: string }) => {
    const { issueToken } = await import('./peers/token.ts')
    const token = await withCluster(flags, (client) =>
      issueToken(
        client,
        flags.key === undefined ? { cluster: flags.cluster } : { cluster: flags.cluster, key: flags.key },
      ),
    )
    writeLine(token)
  })
}

function registerJoin(peers: Command): void {
  const command = peers
    .command('join')
    .description('Join this cluster to the mesh with a token; waits until the first peer is connected.')
    .requiredOption('--token-file <file>', 'file with the token, or - for stdin; tokens never stand in argv')
    .option('--timeout <seconds>', 'how long to wait', '60')
  withClusterFlags(command).addHelpText(
    'after',
    '\nExample:\n  isthmus peers join --context west --token-file west.token\n',
  )
  command.action(async (flags: ClusterFlags & { tokenFile: string; timeout: string }) => {
    const timeoutMs = Number(flags.timeout) * 1_000
    if (!(timeoutMs > 0)) throw new MeshError('USAGE', `--timeout ${flags.timeout} is not a number of seconds`)
    const { join } = await import('./peers/join.ts')
    await withCluster(flags, (client) => join(client, { tokenFile: flags.tokenFile, timeoutMs, progress }))
  })
}

function registerList(peers: Command): void {
  const command = peers
    .command('list')
    .description('Peers of a cluster: sync and data signals, imports and exports.')
    .option('-o, --output <format>', 'table, json or yaml')
  withClusterFlags(command).addHelpText('after', '\nExample:\n  isthmus peers list --context east\n')
  command.action(async (flags: ClusterFlags & { output?: string }) => {
    const format = outputFormat(flags.output)
    const found = await withCluster(flags, listPeers)
    await print(format, found, () => peerTable(found))
  })
}

export async function listPeers(client: KubeClient): Promise<readonly ClusterPeer[]> {
  const { CLUSTER_PEERS, CONFIG_MAPS } = await import('../kube/kinds.ts')
  if ((await client.get(CONFIG_MAPS, OBJECTS.meshConfig, SYSTEM_NAMESPACE)) === undefined) {
    throw new MeshError('NOT_INSTALLED', 'the mesh is not installed in this cluster')
  }
  return (await client.list(CLUSTER_PEERS)).items
}

export function peerTable(peers: readonly ClusterPeer[]): string {
  const rows = peers.map((peer) => [
    peer.metadata.name ?? '',
    peer.status?.sync?.state ?? 'Never',
    peer.status?.data?.state ?? 'Unknown',
    peer.status?.data?.rttMs === undefined ? '-' : `${peer.status.data.rttMs.toFixed(1)} ms`,
    String(peer.status?.imported ?? 0),
    String(peer.status?.exported ?? 0),
    peer.spec.gateways.join(','),
  ])
  return renderTable([['PEER', 'SYNC', 'DATA', 'RTT', 'IMPORTED', 'EXPORTED', 'GATEWAYS'], ...rows])
}
