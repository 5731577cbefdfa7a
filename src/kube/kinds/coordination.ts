/** Lease (coordination.k8s.io/v1): leader election; its transitions are the fencing epoch. */
import type { KubeObject, Resource } from '../object.ts'

export interface Lease extends KubeObject {
  spec?: LeaseSpec
}

export interface LeaseSpec {
  /** Empty or absent: released. */
  holderIdentity?: string | null
  leaseDurationSeconds?: number | null
  /** MicroTime: the server refuses anything but six fraction digits. */
  acquireTime?: string | null
  renewTime?: string | null
  leaseTransitions?: number | null
}

export const LEASES: Resource<Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
}
