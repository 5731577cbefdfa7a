/** ClusterPeer (isthmus.dev/v1alpha1): another cluster of the mesh, and what is known about the way to it. */
import { z } from 'zod'
import { CLUSTER_PEERS, type ClusterPeer } from '../kinds.ts'
import { conditions, count, dateTime, hostPort, subdomain } from './common.ts'
import type { KindDefinition } from './definition.ts'

export const clusterPeerSpec = z.object({
  mesh: subdomain().describe('Name of the mesh that both clusters belong to.'),
  trustDomain: subdomain().describe('What the peer may speak for: <peer>.<mesh>.'),
  gateways: z
    .array(hostPort())
    .min(1)
    .max(16)
    .describe('host:port of each east-west gateway of the peer, tried in turn.'),
  network: z
    .enum(['gateway', 'flat'])
    .default('gateway')
    .describe('gateway: through nested tunnels. flat: the pods of the peer are dialled directly.'),
  sameNamespaces: z
    .array(
      z
        .string()
        .max(63)
        .regex(/^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$/),
    )
    .max(64)
    .exactOptional()
    .describe('Namespaces of the peer whose callers count as ours where policies name no trust domain; *: all.'),
  signer: z.boolean().exactOptional().describe("The peer holds the mesh's root key."),
})

export const clusterPeerStatus = z.object({
  sync: z
    .object({
      state: z.enum(['Connected', 'Stale', 'Never']),
      lastHeartbeat: dateTime().exactOptional(),
      ageMs: count().exactOptional(),
    })
    .exactOptional()
    .describe('The control stream. Its loss alone removes nothing.'),
  data: z
    .object({
      state: z.enum(['Healthy', 'Lost', 'Unknown']),
      rttMs: z.number().min(0).exactOptional(),
      lastProbe: dateTime().exactOptional(),
      since: dateTime().exactOptional(),
    })
    .exactOptional()
    .describe('The data path as probed. Lost moves traffic away.'),
  imported: count().exactOptional().describe('Services imported from the peer.'),
  exported: count().exactOptional().describe('Services exported to the peer.'),
  conditions: conditions().exactOptional(),
})

export const CLUSTER_PEER: KindDefinition<ClusterPeer> = {
  resource: CLUSTER_PEERS,
  description:
    'A peer cluster of the mesh; the name of the object is the name of the cluster. Deleting it is the only thing that withdraws what the peer exports.',
  spec: clusterPeerSpec,
  status: clusterPeerStatus,
  shortNames: ['cpeer'],
  columns: [
    { name: 'Sync', type: 'string', jsonPath: '.status.sync.state' },
    { name: 'Data', type: 'string', jsonPath: '.status.data.state' },
    { name: 'Imported', type: 'integer', jsonPath: '.status.imported' },
    { name: 'Exported', type: 'integer', jsonPath: '.status.exported' },
    { name: 'Trust-Domain', type: 'string', jsonPath: '.spec.trustDomain', priority: 1 },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ],
}
