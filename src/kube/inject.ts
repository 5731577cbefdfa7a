/**
 * Gives a pod its sidecar: a pure function that the local node and the admission webhook share, so that both kinds of
 * cluster run the same pods. Who gets one follows Istio's rules; what runs inside is the proxy's business.
 */
import { formatSpiffeId } from '../model/identity.ts'
import {
  ANNOTATIONS,
  CA_AUDIENCE,
  DAEMON_ENVIRONMENT,
  ISTIO_NAMESPACE,
  LABELS,
  OBJECTS,
  PROXY_STATE_PATH,
  SERVING_ROOT_PATH,
  SYSTEM_NAMESPACE,
  TOKEN_PATH,
} from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { type AppProbes, rewriteProbes } from './inject-probes.ts'
import type { Container, EnvVar, PodSpec, Volume, VolumeMount } from './kinds.ts'
import type { ObjectMeta } from './object.ts'

/** A Pod, or the template of one. */
export interface Injectable {
  readonly metadata?: ObjectMeta
  readonly spec: PodSpec
}

export interface InjectOptions {
  readonly namespace: string
  readonly namespaceLabels: Readonly<Record<string, string>>
  readonly mesh: string
  readonly cluster: string
  readonly image: string
  /** `host:15012`. */
  readonly controlPlaneAddress: string
  /**
   * Host of the explicit proxy as the application sees it: `127.0.0.1`, or `$(POD_IP)` where pods share one network
   * namespace (Kubernetes expands it from the variable set before).
   */
  readonly explicitProxyHost: string
  /**
   * The kernel leads the pod's connections through its sidecar, and applications need not know: an init container
   * writes the rules. Not where pods share a network namespace.
   */
  readonly capture?: boolean
  readonly logLevel?: string
}

export const SIDECAR_CONTAINER = 'isthmus-proxy'
export const CAPTURE_CONTAINER = 'isthmus-init'
/** What the sidecar is to ask its applications in the kubelet's place. */
const APP_PROBES = 'ISTHMUS_APP_PROBES'
const DNS_SETTING = 'ISTHMUS_DNS'

/** Istio's list: what keeps the cluster itself alive never depends on the mesh. */
const NEVER_NAMESPACES = new Set([SYSTEM_NAMESPACE, ISTIO_NAMESPACE, 'kube-system', 'kube-public', 'kube-node-lease'])
/** Istio's proxy user; capture rules tell the proxy's own traffic by it. */
/** User and group that the proxy runs as, and by which capture rules know its own connections. */
export const PROXY_USER = 1337
/** The kubelet renews at 80 %; a stolen one ends within the hour. */
const TOKEN_TTL_SECONDS = 3600

/** The pod with a sidecar, or undefined when none is wanted or one is there already. Never changes its argument. */
export function injectSidecar<P extends Injectable>(pod: P, options: InjectOptions): P | undefined {
  if (!wantsSidecar(pod, options) || hasSidecar(pod)) return undefined
  const captured = options.capture === true && pod.metadata?.annotations?.[ANNOTATIONS.capture] !== 'false'
  const asks = captured && pod.metadata?.annotations?.[ANNOTATIONS.rewriteProbes] !== 'false'
  const { containers, initContainers = [], probes } = asks ? rewriteProbes(pod.spec) : { ...pod.spec, probes: {} }
  const applications = captured ? containers : containers.map((each) => forApplication(each, options))
  const spec: PodSpec = {
    ...pod.spec,
    // Last: the pod's own init containers run while there is no proxy yet.
    ...(captured && { initContainers: [...initContainers, captureContainer(pod, options)] }),
    containers: [
      ...applications,
      sidecar(options, pod.metadata, { probes, answersNames: captured && wantsNames(pod) }),
    ],
    volumes: [...(pod.spec.volumes ?? []), ...VOLUMES],
  }
  return { ...pod, spec }
}

/** A `false` anywhere wins, then a `true` anywhere; the pod's label beats its annotation. */
export function wantsSidecar(pod: Injectable, options: Pick<InjectOptions, 'namespace' | 'namespaceLabels'>): boolean {
  if (NEVER_NAMESPACES.has(options.namespace) || pod.spec.hostNetwork === true) return false
  const ofNamespace = options.namespaceLabels[LABELS.injectNamespace]
  const ofPod = pod.metadata?.labels?.[LABELS.injectPod] ?? pod.metadata?.annotations?.[LABELS.injectPod]
  if (ofNamespace === 'disabled' || ofPod === 'false') return false
  return ofNamespace === 'enabled' || ofPod === 'true'
}

export function hasSidecar(pod: Injectable): boolean {
  const { containers, initContainers = [] } = pod.spec
  return [...containers, ...initContainers].some((container) => container.name === SIDECAR_CONTAINER)
}

/** Whether the kernel leads the pod's connections through its sidecar. */
export function isCaptured({ spec }: Injectable): boolean {
  return (spec.initContainers ?? []).some((container) => container.name === CAPTURE_CONTAINER)
}

/** Whether its proxy answers its DNS questions. */
export function answersNames({ spec }: Injectable): boolean {
  const proxy = spec.containers.find(({ name }) => name === SIDECAR_CONTAINER)
  return proxy?.env?.some(({ name, value }) => name === DNS_SETTING && value === 'true') === true
}

/** The ServiceAccount a pod runs as; admission fills it in, templates may leave it out. */
export function serviceAccountOf(spec: Pick<PodSpec, 'serviceAccountName' | 'serviceAccount'>): string {
  return spec.serviceAccountName ?? spec.serviceAccount ?? 'default'
}

/** The identities behind a service, each once and sorted: what callers are told to accept (secure naming). */
export function identitiesOf(
  pods: Iterable<{ readonly metadata: Pick<ObjectMeta, 'namespace'>; readonly spec: PodSpec }>,
  trustDomain: string,
): readonly string[] {
  const ids = new Set<string>()
  for (const { metadata, spec } of pods) {
    const namespace = metadata.namespace ?? 'default'
    ids.add(formatSpiffeId({ trustDomain, namespace, serviceAccount: serviceAccountOf(spec) }))
  }
  return [...ids].sort()
}

/** POD_IP stands before what refers to it: Kubernetes expands `$(NAME)` only from variables defined earlier. */
function forApplication(container: Container, options: InjectOptions): Container {
  const own = container.env ?? []
  const has = (name: string): boolean => own.some((variable) => variable.name === name)
  const proxy = `http://${options.explicitProxyHost}:${PORTS.httpProxy}`
  const direct = 'localhost,127.0.0.1'
  const before = [fieldVar('POD_NAME', 'metadata.name'), fieldVar('POD_IP', 'status.podIP')]
  // Only http: a proxy for https would hide the request inside a CONNECT tunnel to nowhere in the mesh.
  const after = [
    { name: 'http_proxy', value: proxy },
    { name: 'HTTP_PROXY', value: proxy },
    { name: 'no_proxy', value: direct },
    { name: 'NO_PROXY', value: direct },
  ]
  return {
    ...container,
    env: [...before.filter(({ name }) => !has(name)), ...own, ...after.filter(({ name }) => !has(name))],
  }
}

/** Questions are led to the proxy like connections, unless the pod's owner says otherwise. An Envoy answers none. */
const wantsNames = ({ metadata }: Injectable): boolean =>
  metadata?.annotations?.[ANNOTATIONS.dns] !== 'false' && sidecarKind(metadata) === 'isthmus'

const EXCLUSIONS = [
  ['--exclude-outbound-ports', ANNOTATIONS.captureExcludeOutboundPorts],
  ['--exclude-inbound-ports', ANNOTATIONS.captureExcludeInboundPorts],
  ['--exclude-outbound-ranges', ANNOTATIONS.captureExcludeOutboundRanges],
] as const

function captureContainer(pod: Injectable, options: InjectOptions): Container {
  const annotations = pod.metadata?.annotations ?? {}
  const exclusions = EXCLUSIONS.flatMap(([flag, annotation]) => {
    const value = annotations[annotation]
    // One word, so that no value can be a flag.
    return value === undefined ? [] : [`${flag}=${value}`]
  })
  return {
    name: CAPTURE_CONTAINER,
    image: options.image,
    args: [
      'capture',
      'apply',
      '--ip-family=auto',
      `--proxy-uid=${PROXY_USER}`,
      `--proxy-gid=${PROXY_USER}`,
      ...(wantsNames(pod) ? ['--dns'] : []),
      ...exclusions,
    ],
    resources: { requests: { cpu: '10m', memory: '64Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
    },
  }
}

/** The command of each kind of sidecar. */
const SIDECARS: Readonly<Record<string, readonly string[]>> = {
  isthmus: ['proxy', '--role', 'sidecar'],
  envoy: ['agent', '--envoy'],
}

/** As the pod's label says, else its annotation. An unknown kind gets the mesh's own. */
function sidecarKind(metadata: ObjectMeta | undefined): string {
  const kind = metadata?.labels?.[ANNOTATIONS.sidecarProxy] ?? metadata?.annotations?.[ANNOTATIONS.sidecarProxy]
  return kind === 'envoy' ? kind : 'isthmus'
}

interface SidecarDuties {
  readonly probes: AppProbes
  readonly answersNames: boolean
}

function sidecar(
  options: InjectOptions,
  metadata: ObjectMeta | undefined,
  { probes, answersNames }: SidecarDuties,
): Container {
  return {
    name: SIDECAR_CONTAINER,
    image: metadata?.annotations?.[ANNOTATIONS.sidecarImage] ?? options.image,
    args: [...(SIDECARS[sidecarKind(metadata)] ?? [])],
    env: [
      fieldVar('POD_NAME', 'metadata.name'),
      fieldVar('POD_NAMESPACE', 'metadata.namespace'),
      fieldVar('POD_IP', 'status.podIP'),
      fieldVar('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      fieldVar('NODE_NAME', 'spec.nodeName'),
      { name: 'ISTHMUS_CLUSTER', value: options.cluster },
      { name: 'ISTHMUS_MESH', value: options.mesh },
      { name: 'ISTHMUS_CONTROL_PLANE', value: options.controlPlaneAddress },
      ...(answersNames ? [{ name: DNS_SETTING, value: 'true' }] : []),
      ...Object.entries(DAEMON_ENVIRONMENT).map(([name, value]) => ({ name, value })),
      ...(Object.keys(probes).length === 0 ? [] : [{ name: APP_PROBES, value: JSON.stringify(probes) }]),
      ...(options.logLevel === undefined ? [] : [{ name: 'ISTHMUS_LOG_LEVEL', value: options.logLevel }]),
    ],
    ports: [{ name: 'http-monitoring', containerPort: PORTS.metrics, protocol: 'TCP' }],
    readinessProbe: {
      httpGet: { path: '/healthz/ready', port: PORTS.readiness },
      periodSeconds: 1,
      failureThreshold: 3,
    },
    resources: { requests: { cpu: '10m', memory: '96Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsGroup: PROXY_USER,
      runAsNonRoot: true,
      runAsUser: PROXY_USER,
    },
    volumeMounts: MOUNTS,
  }
}

const fieldVar = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } })
const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))
const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

const VOLUMES: Volume[] = [
  { name: 'isthmus-state', emptyDir: { medium: 'Memory' } },
  {
    name: 'isthmus-token',
    projected: {
      sources: [
        {
          serviceAccountToken: {
            audience: CA_AUDIENCE,
            expirationSeconds: TOKEN_TTL_SECONDS,
            path: fileOf(TOKEN_PATH),
          },
        },
      ],
    },
  },
  { name: OBJECTS.servingRoot, configMap: { name: OBJECTS.servingRoot } },
]

const MOUNTS: VolumeMount[] = [
  { name: 'isthmus-state', mountPath: PROXY_STATE_PATH },
  { name: 'isthmus-token', mountPath: directoryOf(TOKEN_PATH), readOnly: true },
  { name: OBJECTS.servingRoot, mountPath: directoryOf(SERVING_ROOT_PATH), readOnly: true },
]
