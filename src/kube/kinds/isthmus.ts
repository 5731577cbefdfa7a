/** The product's own kinds (`isthmus.dev/v1alpha1`); their validation and CRD manifests stand in kube/schemas. */
import type { Condition, KubeObject, Resource } from '../object.ts'

/** One per peer; the object's name is the peer cluster's name. Deleting it is the only thing that withdraws a peer. */
export interface ClusterPeer extends KubeObject {
  spec: ClusterPeerSpec
  status?: ClusterPeerStatus
}

export interface ClusterPeerSpec {
  mesh: string
  trustDomain: string
  /** `host:15443` of each gateway; IPv6 in brackets. */
  gateways: string[]
  /** `gateway`: nested tunnels; `flat`: the peer's pods are dialled directly. The server defaults it. */
  network?: 'gateway' | 'flat'
  /** The peer holds the mesh's root key. */
  signer?: boolean
}

export interface ClusterPeerStatus {
  /** Control stream; its loss alone removes nothing. */
  sync?: { state: 'Connected' | 'Stale' | 'Never'; lastHeartbeat?: string; ageMs?: number }
  /** Data path, as probed; `Lost` moves traffic. */
  data?: { state: 'Healthy' | 'Lost' | 'Unknown'; rttMs?: number; lastProbe?: string; since?: string }
  imported?: number
  exported?: number
  conditions?: Condition[]
}

export const CLUSTER_PEERS: Resource<ClusterPeer> = {
  group: 'isthmus.dev',
  version: 'v1alpha1',
  plural: 'clusterpeers',
  kind: 'ClusterPeer',
  namespaced: false,
}
