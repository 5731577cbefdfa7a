/**
 * Names of the objects that control plane, federation, gateways and the installer agree on. They never import each
 * other; these names and the Kubernetes API are all they share.
 */
export const SYSTEM_NAMESPACE = 'isthmus-system'
/** Where policies written for Istio stand that hold for the whole mesh; empty of parts of ours. */
export const ISTIO_NAMESPACE = 'istio-system'

/** The Gateway API's: who we are in status and in GatewayClasses, and the class that an install brings. */
export const GATEWAY_CONTROLLER = 'isthmus.dev/gateway-controller'
export const GATEWAY_CLASS = 'isthmus'

/** ServiceAccounts (and Deployments) of the mesh's own parts. */
export const SYSTEM_ACCOUNTS = {
  controlPlane: 'isthmus-control-plane',
  federation: 'isthmus-federation',
  eastWest: 'isthmus-east-west',
} as const

/** ServiceAccount, Deployment and Service of the DNS server that a cluster may have beside. */
export const DNS_ACCOUNT = 'isthmus-dns'

/** ServiceAccount whose tokens the CLI shows to the control plane: whoever may make one may read what it may. */
export const READER_ACCOUNT = 'isthmus-reader'
export const READER_AUDIENCE = 'isthmus-status'
export const READER_TOKEN_HEADER = 'isthmus-token'

export const OBJECTS = {
  /** ConfigMap with keys `mesh`, `cluster`, `domain`; written by the installer, immutable. */
  meshConfig: 'isthmus-mesh',
  /** ConfigMap with key `mesh`: settings of the whole mesh in the form of Istio's MeshConfig; read and never written. */
  meshSettings: 'isthmus',
  /** Secret with `key.pem`: the intermediate's key, made by the control plane and read by no one else. */
  caKey: 'isthmus-ca-key',
  /** ConfigMap with `csr.pem`: the control plane asks for its intermediate. */
  caRequest: 'isthmus-ca-request',
  /** ConfigMap with `intermediate.pem`, `bundle.json` (trust domain -> PEM roots): written by federation. */
  trust: 'isthmus-trust',
  /** Secret with `root.key`, `root.crt`: only in the signer cluster, read by federation alone. */
  root: 'isthmus-root',
  /** Secret with `tls.key`, `tls.crt` of the cluster's own serving CA, which no peer trusts. */
  servingCa: 'isthmus-serving-ca',
  /** ConfigMap with `ca.crt` of the serving CA, in every namespace. */
  servingRoot: 'isthmus-serving-root',
  /** ConfigMap of the control plane: public keys of token issuers outside the mesh, by their address. */
  issuerKeys: 'isthmus-issuer-keys',
  /** Secret with `token`: a join the federation controller has still to perform. */
  join: 'isthmus-join',
  /** Secret that remembers issued join tokens, one key per token id; redeemed by compare-and-swap. */
  joinTokens: 'isthmus-join-tokens',
  /** ConfigMap of the federation leader: withdrawals not yet told to every peer, members that were removed. */
  federationState: 'isthmus-federation-state',
  /** Lease of the control plane: the replica that holds it writes status. */
  controlPlaneLease: 'isthmus-control-plane',
  /** Lease of the federation controller; its transitions are the fencing epoch. */
  federationLease: 'isthmus-federation',
} as const

export const LABELS = {
  mcsServiceName: 'multicluster.kubernetes.io/service-name',
  mcsSourceCluster: 'multicluster.kubernetes.io/source-cluster',
  sliceServiceName: 'kubernetes.io/service-name',
  sliceManagedBy: 'endpointslice.kubernetes.io/managed-by',
  region: 'topology.kubernetes.io/region',
  zone: 'topology.kubernetes.io/zone',
  injectNamespace: 'istio-injection',
  injectPod: 'sidecar.istio.io/inject',
  /** On Secrets that AuthenticationPolicies may read: the control plane sees no others. */
  credentials: 'isthmus.dev/credentials',
  /** On pods that serve Gateways: `ingress` or `egress`. Whoever may make such a pod may mount its namespace's Secrets. */
  gateway: 'isthmus.dev/gateway',
} as const

export const ANNOTATIONS = {
  /** On imported EndpointSlices: JSON of `ImportedFacts` (model/service.ts). */
  facts: 'isthmus.dev/facts',
  /** On a ServiceExport: comma-separated peers that may import it; absent means all. */
  exportTo: 'isthmus.dev/export-to',
  /** On a Service: "false" keeps the local name from spilling to peers. */
  localFailover: 'isthmus.dev/local-failover',
  /** On pods: `false` keeps the explicit proxy where pods are captured. */
  capture: 'isthmus.dev/capture',
  /** Istio's, on pods: `false` leaves the kubelet's probes as they are. */
  rewriteProbes: 'sidecar.istio.io/rewriteAppHTTPProbers',
  /** On pods: `false` keeps DNS questions from the sidecar where connections are captured. */
  dns: 'isthmus.dev/dns',
  captureExcludeOutboundPorts: 'isthmus.dev/capture-exclude-outbound-ports',
  captureExcludeInboundPorts: 'isthmus.dev/capture-exclude-inbound-ports',
  captureExcludeOutboundRanges: 'isthmus.dev/capture-exclude-outbound-ranges',
  /** On pods: `envoy` makes the sidecar an Envoy; `isthmus` is what is there without it. */
  sidecarProxy: 'sidecar.isthmus.dev/proxy',
  /** On pods: the image of the sidecar, where it is not the mesh's own (one that has Envoy, say). */
  sidecarImage: 'sidecar.isthmus.dev/proxyImage',
  /** On the gateway's Service, when the load balancer's address is not the reachable one. */
  gatewayAddress: 'isthmus.dev/gateway-address',
} as const

/** What the two ends of a mesh connection tell each other (proxy/peer-facts.ts), and where an Envoy finds its own text. */
export const PEER_HEADER = 'isthmus-peer'
export const PEER_ENVIRONMENT = 'ISTHMUS_PEER'

/** Audience of the projected ServiceAccount tokens that the certificate service accepts. */
export const CA_AUDIENCE = 'isthmus-ca'

/**
 * Environment of every daemon of the mesh: glibc's malloc otherwise keeps an arena per thread, 3 to 4 MiB of a sidecar
 * that nothing uses (measured; other C libraries ignore it).
 */
export const DAEMON_ENVIRONMENT = { MALLOC_ARENA_MAX: '1' } as const

/** Where a pod finds its projected token, relative to the mount root. */
export const TOKEN_PATH = '/var/run/secrets/isthmus/token/token'
export const SERVING_ROOT_PATH = '/var/run/secrets/isthmus/serving-root/ca.crt'
/** Memory-backed emptyDir: key, certificate, bundle and last snapshot, 0600. */
export const PROXY_STATE_PATH = '/var/lib/isthmus'

/** The zone that MCS fixes for imported services (KEP-1645 specification.md). */
export const CLUSTERSET_DOMAIN = 'clusterset.local'

/** Value of the managed-by labels on what federation writes; a label value, so without a slash. */
export const FEDERATION_MANAGER = 'federation.isthmus.dev'
