/** Settings of the control plane, one row each. */
import type { Settings } from '../runtime/config.ts'
import { IMAGE } from '../runtime/version.ts'

export const CONTROL_PLANE_SETTINGS = {
  podIp: { env: 'POD_IP', doc: 'Address of the pod (downward API); every port opens there and nowhere else.' },
  podName: {
    env: 'POD_NAME',
    default: '',
    doc: 'Name of the pod: who holds the lease of the replica that writes status.',
  },
  cluster: { env: 'ISTHMUS_CLUSTER', doc: 'Name of the cluster in the mesh; immutable.' },
  mesh: { env: 'ISTHMUS_MESH', doc: 'Name of the mesh; immutable.' },
  domain: { env: 'ISTHMUS_DOMAIN', default: 'cluster.local', doc: "The cluster's own DNS zone." },
  logLevel: { env: 'ISTHMUS_LOG_LEVEL', default: 'info', doc: 'trace, debug, info, warn, error or silent.' },
  image: {
    env: 'ISTHMUS_IMAGE',
    default: IMAGE,
    doc: 'Image of the sidecars that the injection webhook adds.',
  },
  xdsPlaintext: {
    env: 'ISTHMUS_XDS_PLAINTEXT',
    default: 'false',
    doc: 'true: xDS without TLS and token on port 15010 of the loopback address, for gRPC clients beside the control plane.',
  },
  jwksRefresh: {
    env: 'ISTHMUS_JWKS_REFRESH',
    default: '1200',
    unit: 'seconds',
    doc: 'How often keys of token issuers outside the mesh are fetched; new ones are believed within that time.',
  },
  jwksCaFile: {
    env: 'ISTHMUS_JWKS_CA_FILE',
    default: '',
    doc: 'PEM file of authorities that token issuers may be certified by, beside those of the system.',
  },
  proxiesMax: {
    env: 'ISTHMUS_PROXIES_MAX',
    default: '5000',
    unit: 'streams',
    doc: 'Proxies one replica serves; more are told RESOURCE_EXHAUSTED and try another.',
  },
} as const satisfies Settings
