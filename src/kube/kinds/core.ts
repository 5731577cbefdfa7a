/**
 * Core-group objects (API group "", version v1). Only the fields the product reads or writes have a type; every other
 * field of an object passes through untouched because the client never re-shapes JSON. Not a model of Kubernetes.
 */
import type { Condition, KubeObject, ObjectMeta, Resource } from '../object.ts'
import type { PodSpec } from './pod-spec.ts'

const core = <T extends KubeObject>(plural: string, kind: string, namespaced = true): Resource<T> => ({
  group: '',
  version: 'v1',
  plural,
  kind,
  namespaced,
})

export interface Namespace extends KubeObject {
  spec?: { finalizers?: string[] }
  status?: { phase?: 'Active' | 'Terminating'; conditions?: CoreCondition[] }
}
export const NAMESPACES = core<Namespace>('namespaces', 'Namespace', false)

/** Conditions of built-in kinds: unlike `metav1.Condition`, reason, message and time may be absent. */
export interface CoreCondition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason?: string
  message?: string
  lastTransitionTime?: string
  lastProbeTime?: string | null
  lastUpdateTime?: string
}

export interface Pod extends KubeObject {
  spec: PodSpec
  status?: PodStatus
}

export interface PodStatus {
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown'
  podIP?: string
  podIPs?: { ip: string }[]
  hostIP?: string
  hostIPs?: { ip: string }[]
  startTime?: string
  reason?: string
  message?: string
  qosClass?: string
  conditions?: CoreCondition[]
  containerStatuses?: ContainerStatus[]
  initContainerStatuses?: ContainerStatus[]
}

export interface ContainerStatus {
  name: string
  ready: boolean
  restartCount: number
  image: string
  imageID: string
  containerID?: string
  started?: boolean
  state?: ContainerState
  lastState?: ContainerState
}

export interface ContainerState {
  waiting?: { reason?: string; message?: string }
  running?: { startedAt: string }
  terminated?: ContainerTermination
}

export interface ContainerTermination {
  exitCode: number
  signal?: number
  reason?: string
  message?: string
  startedAt?: string
  finishedAt?: string
  containerID?: string
}

export interface PodTemplateSpec {
  metadata?: ObjectMeta
  spec: PodSpec
}
export const PODS = core<Pod>('pods', 'Pod')

export interface Service extends KubeObject {
  spec: ServiceSpec
  status?: { loadBalancer?: { ingress?: LoadBalancerIngress[] }; conditions?: Condition[] }
}

export interface LoadBalancerIngress {
  ip?: string
  hostname?: string
  ipMode?: string
  ports?: { port: number; protocol: string }[]
}

export interface ServiceSpec {
  type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'
  selector?: Record<string, string>
  ports?: ServicePort[]
  /** `None` marks a headless Service. */
  clusterIP?: string
  clusterIPs?: string[]
  ipFamilies?: ('IPv4' | 'IPv6')[]
  ipFamilyPolicy?: string
  externalName?: string
  externalIPs?: string[]
  externalTrafficPolicy?: 'Cluster' | 'Local'
  internalTrafficPolicy?: 'Cluster' | 'Local'
  allocateLoadBalancerNodePorts?: boolean
  loadBalancerClass?: string
  publishNotReadyAddresses?: boolean
  sessionAffinity?: 'None' | 'ClientIP'
  sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } }
  trafficDistribution?: string
}

export interface ServicePort {
  name?: string
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  appProtocol?: string
  port: number
  /** A number, or the name of a container port. */
  targetPort?: number | string
  nodePort?: number
}
export const SERVICES = core<Service>('services', 'Service')

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>
  binaryData?: Record<string, string>
  immutable?: boolean
}
export const CONFIG_MAPS = core<ConfigMap>('configmaps', 'ConfigMap')

export interface Secret extends KubeObject {
  type?: string
  /** Base64. */
  data?: Record<string, string>
  /** Write only; the server folds it into `data`. */
  stringData?: Record<string, string>
  immutable?: boolean
}
export const SECRETS = core<Secret>('secrets', 'Secret')

export interface ServiceAccount extends KubeObject {
  automountServiceAccountToken?: boolean
  secrets?: { name: string }[]
  imagePullSecrets?: { name: string }[]
}
export const SERVICE_ACCOUNTS = core<ServiceAccount>('serviceaccounts', 'ServiceAccount')

export interface Node extends KubeObject {
  spec?: { providerID?: string; podCIDR?: string; unschedulable?: boolean; taints?: NodeTaint[] }
  status?: {
    addresses?: { type: string; address: string }[]
    conditions?: CoreCondition[]
    capacity?: Record<string, string>
    allocatable?: Record<string, string>
    nodeInfo?: Record<string, string>
  }
}

export interface NodeTaint {
  key: string
  value?: string
  effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute'
}
export const NODES = core<Node>('nodes', 'Node', false)

export interface ObjectReference {
  apiVersion?: string
  kind?: string
  namespace?: string
  name?: string
  uid?: string
  resourceVersion?: string
  fieldPath?: string
}

/** The core/v1 form, which `kubectl describe` reads. */
export interface Event extends KubeObject {
  involvedObject: ObjectReference
  reason?: string
  message?: string
  type?: 'Normal' | 'Warning'
  count?: number
  firstTimestamp?: string | null
  lastTimestamp?: string | null
  /** MicroTime: exactly six fraction digits. */
  eventTime?: string | null
  action?: string
  source?: { component?: string; host?: string }
  reportingComponent?: string
  reportingInstance?: string
}
export const EVENTS = core<Event>('events', 'Event')
