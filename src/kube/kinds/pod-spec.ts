/**
 * The part of a PodSpec that injection writes, that manifests of the mesh use and that the local node agent runs.
 * Scheduling and security fields that only a real kubelet reads pass through untyped.
 */
export interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: Volume[]
  serviceAccountName?: string
  serviceAccount?: string
  automountServiceAccountToken?: boolean
  nodeName?: string
  nodeSelector?: Record<string, string>
  hostNetwork?: boolean
  hostname?: string
  subdomain?: string
  restartPolicy?: 'Always' | 'OnFailure' | 'Never'
  terminationGracePeriodSeconds?: number
  dnsPolicy?: string
  schedulerName?: string
  priorityClassName?: string
  enableServiceLinks?: boolean
  securityContext?: PodSecurityContext
  topologySpreadConstraints?: TopologySpreadConstraint[]
  tolerations?: { key?: string; operator?: string; value?: string; effect?: string; tolerationSeconds?: number }[]
  affinity?: Record<string, unknown>
  imagePullSecrets?: { name: string }[]
}

export interface TopologySpreadConstraint {
  maxSkew: number
  topologyKey: string
  whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway'
  labelSelector?: { matchLabels?: Record<string, string> }
}

export interface PodSecurityContext {
  runAsNonRoot?: boolean
  runAsUser?: number
  runAsGroup?: number
  fsGroup?: number
  seccompProfile?: { type: string; localhostProfile?: string }
}

export interface SecurityContext {
  runAsNonRoot?: boolean
  runAsUser?: number
  runAsGroup?: number
  readOnlyRootFilesystem?: boolean
  allowPrivilegeEscalation?: boolean
  privileged?: boolean
  capabilities?: { add?: string[]; drop?: string[] }
  seccompProfile?: { type: string; localhostProfile?: string }
}

export interface Container {
  name: string
  image?: string
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never'
  command?: string[]
  args?: string[]
  workingDir?: string
  env?: EnvVar[]
  envFrom?: EnvFromSource[]
  ports?: ContainerPort[]
  resources?: ResourceRequirements
  volumeMounts?: VolumeMount[]
  readinessProbe?: Probe
  livenessProbe?: Probe
  startupProbe?: Probe
  lifecycle?: { preStop?: ProbeHandler; postStart?: ProbeHandler }
  /** `Always` on an init container makes it a native sidecar. */
  restartPolicy?: 'Always'
  securityContext?: SecurityContext
  terminationMessagePath?: string
  terminationMessagePolicy?: string
}

export interface ContainerPort {
  name?: string
  containerPort: number
  protocol?: 'TCP' | 'UDP' | 'SCTP'
  hostPort?: number
}

export interface ResourceRequirements {
  requests?: Record<string, string>
  limits?: Record<string, string>
}

export interface EnvVar {
  name: string
  value?: string
  valueFrom?: EnvVarSource
}

export interface EnvVarSource {
  fieldRef?: { fieldPath: string; apiVersion?: string }
  configMapKeyRef?: KeyRef
  secretKeyRef?: KeyRef
  resourceFieldRef?: { containerName?: string; resource: string; divisor?: string }
}

export interface KeyRef {
  name: string
  key: string
  optional?: boolean
}

export interface EnvFromSource {
  prefix?: string
  configMapRef?: { name: string; optional?: boolean }
  secretRef?: { name: string; optional?: boolean }
}

export interface ProbeHandler {
  httpGet?: HttpGetAction
  tcpSocket?: { port: number | string; host?: string }
  exec?: { command?: string[] }
  grpc?: { port: number; service?: string }
  sleep?: { seconds: number }
}

export interface Probe extends ProbeHandler {
  initialDelaySeconds?: number
  periodSeconds?: number
  timeoutSeconds?: number
  successThreshold?: number
  failureThreshold?: number
}

export interface HttpGetAction {
  path?: string
  port: number | string
  host?: string
  scheme?: 'HTTP' | 'HTTPS'
  httpHeaders?: { name: string; value: string }[]
}

export interface VolumeMount {
  name: string
  mountPath: string
  readOnly?: boolean
  subPath?: string
}

export interface Volume {
  name: string
  configMap?: { name: string; items?: KeyToPath[]; optional?: boolean; defaultMode?: number }
  secret?: { secretName: string; items?: KeyToPath[]; optional?: boolean; defaultMode?: number }
  emptyDir?: { medium?: '' | 'Memory'; sizeLimit?: string }
  projected?: { sources: ProjectedSource[]; defaultMode?: number }
  downwardAPI?: { items: DownwardItem[]; defaultMode?: number }
  hostPath?: { path: string; type?: string }
}

export interface KeyToPath {
  key: string
  path: string
  mode?: number
}

export interface DownwardItem {
  path: string
  fieldRef?: { fieldPath: string }
  mode?: number
}

export interface ProjectedSource {
  serviceAccountToken?: { audience?: string; expirationSeconds?: number; path: string }
  configMap?: { name: string; items?: KeyToPath[]; optional?: boolean }
  secret?: { name: string; items?: KeyToPath[]; optional?: boolean }
  downwardAPI?: { items: DownwardItem[] }
}
