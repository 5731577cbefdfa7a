/** Settings of the data-plane roles (sidecar and gateways), one row each. */
import type { Settings } from '../runtime/config.ts'

export const PROXY_SETTINGS = {
  podName: { env: 'POD_NAME', doc: 'Name of the pod (downward API).' },
  podNamespace: { env: 'POD_NAMESPACE', doc: 'Namespace of the pod (downward API).' },
  podIp: { env: 'POD_IP', doc: 'Address of the pod (downward API); ports open there.' },
  serviceAccount: { env: 'SERVICE_ACCOUNT', doc: "The pod's ServiceAccount (downward API)." },
  cluster: { env: 'ISTHMUS_CLUSTER', doc: 'Name of the cluster in the mesh.' },
  mesh: { env: 'ISTHMUS_MESH', doc: 'Name of the mesh.' },
  controlPlane: {
    env: 'ISTHMUS_CONTROL_PLANE',
    default: 'isthmus-control-plane.isthmus-system.svc.cluster.local:15012',
    doc: 'Address of xDS and certificate service.',
  },
  resolver: {
    env: 'ISTHMUS_RESOLVER',
    default: '',
    doc: "DNS server, where the machine's own is not the cluster's (local clusters).",
  },
  workload: {
    env: 'ISTHMUS_WORKLOAD',
    default: '',
    doc: 'Name of the workload in metrics; empty: the pod name without its generated endings.',
  },
  version: { env: 'ISTHMUS_VERSION', default: '', doc: 'Version of the workload in metrics.' },
  region: { env: 'ISTHMUS_REGION', default: '', doc: 'Region of the node, told to peers for their metrics.' },
  zone: { env: 'ISTHMUS_ZONE', default: '', doc: 'Zone of the node, told to peers for their metrics.' },
  logLevel: { env: 'ISTHMUS_LOG_LEVEL', default: 'info', doc: 'trace, debug, info, warn, error or silent.' },
  accessLog: { env: 'ISTHMUS_ACCESS_LOG', default: 'true', doc: 'Writes one JSON line per request to stdout.' },
  appProbes: {
    env: 'ISTHMUS_APP_PROBES',
    default: '',
    doc: 'Probes to ask the application in the kubelet’s place, as injection writes them (JSON, by path).',
  },
  memoryLimit: {
    env: 'ISTHMUS_MEMORY_LIMIT',
    default: '',
    unit: 'bytes',
    doc: 'Memory it may have; near it load is refused step by step. Empty: the container’s limit; 0: not watched.',
  },
  workers: {
    env: 'ISTHMUS_WORKERS',
    default: '1',
    doc: 'Processes that serve, behind one that accepts; 0: one per core. The flag --workers wins.',
  },
  dns: {
    env: 'ISTHMUS_DNS',
    default: 'false',
    doc: 'Answers questions for names on port 15053; `isthmus dns` always does.',
  },
  drainMs: {
    env: 'ISTHMUS_DRAIN_MS',
    default: '5000',
    unit: 'ms',
    doc: 'After SIGTERM what is in flight may finish for so long.',
  },
} as const satisfies Settings
