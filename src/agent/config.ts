/** Settings of the agent, one row each. Those of a data plane mean the same here. */
import type { Settings } from '../runtime/config.ts'

export const AGENT_SETTINGS = {
  podName: { env: 'POD_NAME', doc: 'Name of the pod (downward API).' },
  podNamespace: { env: 'POD_NAMESPACE', doc: 'Namespace of the pod (downward API).' },
  podIp: { env: 'POD_IP', doc: 'Address of the pod (downward API).' },
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
  region: { env: 'ISTHMUS_REGION', default: '', doc: 'Region of the node.' },
  zone: { env: 'ISTHMUS_ZONE', default: '', doc: 'Zone of the node.' },
  logLevel: { env: 'ISTHMUS_LOG_LEVEL', default: 'info', doc: 'trace, debug, info, warn, error or silent.' },
  appProbes: {
    env: 'ISTHMUS_APP_PROBES',
    default: '',
    doc: 'Probes to ask the application in the kubelet’s place, as injection writes them (JSON, by path).',
  },
  envoy: {
    env: 'ENVOY',
    default: 'envoy',
    doc: 'The Envoy that the agent starts: a path, or a name that is looked for in PATH.',
  },
  envoyLogLevel: { env: 'ISTHMUS_ENVOY_LOG_LEVEL', default: 'warning', doc: "Envoy's own log level." },
  envoyConcurrency: { env: 'ISTHMUS_ENVOY_CONCURRENCY', default: '2', doc: "Envoy's worker threads; 0: one per core." },
  drainMs: {
    env: 'ISTHMUS_DRAIN_MS',
    default: '5000',
    unit: 'ms',
    doc: 'After SIGTERM what is in flight may finish for so long.',
  },
} as const satisfies Settings

export type AgentValues = { readonly [K in keyof typeof AGENT_SETTINGS]: string }
