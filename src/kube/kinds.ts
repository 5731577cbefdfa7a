/**
 * Every kind the product talks about, by name, with its Resource constant: the one import for typed objects. The
 * definitions stand in kinds/, one file per API group. Not a list of what a server serves: that is discovery's.
 */
export {
  CONFIG_MAPS,
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  type ConfigMap,
  type ContainerState,
  type ContainerStatus,
  type ContainerTermination,
  type CoreCondition,
  type Event,
  type LoadBalancerIngress,
  type Namespace,
  type Node,
  type NodeTaint,
  type ObjectReference,
  type Pod,
  type PodStatus,
  type PodTemplateSpec,
  type Secret,
  type Service,
  type ServiceAccount,
  type ServicePort,
  type ServiceSpec,
} from './kinds/core.ts'
export type {
  Container,
  ContainerPort,
  DownwardItem,
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  HttpGetAction,
  KeyRef,
  KeyToPath,
  PodSecurityContext,
  PodSpec,
  Probe,
  ProbeHandler,
  ProjectedSource,
  ResourceRequirements,
  SecurityContext,
  TopologySpreadConstraint,
  Volume,
  VolumeMount,
} from './kinds/pod-spec.ts'
export {
  DEPLOYMENTS,
  REPLICA_SETS,
  type Deployment,
  type DeploymentSpec,
  type DeploymentStatus,
  type LabelSelector,
  type LabelSelectorRequirement,
  type ReplicaSet,
} from './kinds/apps.ts'
export { ENDPOINT_SLICES, type EndpointSlice, type SliceEndpoint, type SlicePort } from './kinds/discovery.ts'
export { LEASES, type Lease, type LeaseSpec } from './kinds/coordination.ts'
export {
  SERVICE_EXPORTS,
  SERVICE_IMPORTS,
  type ServiceExport,
  type ServiceImport,
  type ServiceImportPort,
  type ServiceImportSpec,
} from './kinds/mcs.ts'
export type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  RbacSubject,
  Role,
  RoleBinding,
  RoleRef,
} from './kinds/rbac.ts'
export {
  POD_NAME_EXTRA,
  POD_UID_EXTRA,
  reviewToken,
  tokenRequestPath,
  type TokenRequest,
  type TokenReview,
  type TokenReviewStatus,
  type UserInfo,
} from './kinds/authentication.ts'
export {
  CUSTOM_RESOURCE_DEFINITIONS,
  type CrdNames,
  type CrdSpec,
  type CrdVersion,
  type CustomResourceDefinition,
  type JsonSchema,
  type PrinterColumn,
} from './kinds/apiextensions.ts'
export {
  CIRCUIT_BREAKER_POLICIES,
  CLUSTER_PEERS,
  type CircuitBreakerPolicy,
  type CircuitBreakerPolicySpec,
  type ClusterPeer,
  type ClusterPeerSpec,
  type ClusterPeerStatus,
} from './kinds/isthmus.ts'
