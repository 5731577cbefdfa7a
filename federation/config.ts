/** Settings of `isthmus federation`, one row each (src/runtime/config.ts). */
import type { Settings } from '../src/runtime/config.ts'

export const FEDERATION_SETTINGS = {
  podName: { env: 'POD_NAME', doc: 'Identity in the leader election.' },
  podIp: { env: 'POD_IP', doc: 'Address that all ports listen on.' },
  cluster: { env: 'ISTHMUS_CLUSTER', doc: "This cluster's name; immutable." },
  mesh: { env: 'ISTHMUS_MESH', doc: 'Name of the mesh; immutable.' },
  controlPlane: {
    env: 'ISTHMUS_CONTROL_PLANE',
    default: 'isthmus-control-plane.isthmus-system.svc.cluster.local:15012',
    doc: 'Where the workload certificate is asked for.',
  },
  clustersetCidr: {
    env: 'ISTHMUS_CLUSTERSET_CIDR',
    default: '240.0.0.0/12',
    doc: 'Range of the virtual IPs of imported services; only this cluster sees them.',
  },
  resolver: {
    env: 'ISTHMUS_RESOLVER',
    default: '',
    doc: "Cluster DNS where the machine's resolver is not it (local clusters).",
  },
  logLevel: { env: 'ISTHMUS_LOG_LEVEL', default: 'info', doc: "One of pino's levels." },
} as const satisfies Settings

/** Between losing a leader and having the next; client-go's 15 s would leave a killed leader's peers stale for long. */
export const LEASE = { leaseDurationMs: 10_000, renewDeadlineMs: 6_000, retryPeriodMs: 1_500 } as const
