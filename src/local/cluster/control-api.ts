/** What a cluster process answers on its control socket; shared by its two ends. */
import type { ImageCommand } from '../node/images.ts'
import type { ClusterSpec } from './cluster-spec.ts'
import type { FaultList } from './faults.ts'

export interface ClusterStatus {
  readonly name: string
  readonly spec: ClusterSpec
  readonly pid: number
  readonly url: string
  readonly serviceCidr: string
  readonly loadBalancerCidr: string
  /** Virtual IPs of imported services come from here. */
  readonly clustersetCidr: string
  /** `address:port` of the cluster's DNS. */
  readonly resolver: string
  readonly uptimeMs: number
  readonly rssBytes: number
  readonly nodes: number
  readonly pods: { readonly total: number; readonly ready: number; readonly processes: number }
  /** Requests of the mesh's own ServiceAccounts that RBAC refused since the start. */
  readonly forbiddenRequests: number
  readonly faults: FaultList
}

export interface KillPodsRequest {
  readonly namespace: string
  /** As `kubectl -l`; empty: all pods of the namespace. */
  readonly selector: string
  /** Keeps them, and their replacements, dead until healed. */
  readonly hold: boolean
}

export interface KillPodsAnswer {
  readonly killed: readonly string[]
}

export interface ImageRequest {
  readonly image: string
  readonly command: ImageCommand
}

/** What a failing request is answered with. */
export interface ControlFailure {
  readonly code: string
  readonly message: string
  readonly hint: string
}
