/**
 * Kubernetes objects to facts, one pure function per kind. Undefined means that the object says nothing to the mesh.
 * Objects come from an API server that validated them, annotations from anyone: those are parsed strictly.
 */
import { isIP } from 'node:net'
import { answersNames, hasSidecar, isCaptured, serviceAccountOf } from '../../kube/inject.ts'
import type {
  ClusterPeer,
  EndpointSlice,
  Namespace,
  Node,
  Pod,
  Service,
  ServiceExport,
  ServiceImport,
  ServiceImportPort,
  ServicePort,
  SliceEndpoint,
} from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import { isLabel, parseSpiffeId } from '../../model/identity.ts'
import { type Locality, localityOfNode } from '../../model/locality.ts'
import { ANNOTATIONS, FEDERATION_MANAGER, LABELS } from '../../model/names.ts'
import type { ImportedFacts } from '../../model/service.ts'
import { parseHostPort } from '../../runtime/network.ts'
import type {
  DatagramPort,
  ExportFacts,
  ImportFacts,
  NamespaceFacts,
  PeerFacts,
  PodFacts,
  PortFacts,
  ServiceFacts,
  SliceEndpointFacts,
  SliceFacts,
} from './facts.ts'
import { PROXY_CONFIG_ANNOTATION, readTopology } from './read-topology.ts'

export function readService(service: Service): ServiceFacts | undefined {
  const { spec } = service
  const isName = spec.type === 'ExternalName'
  const ports = (spec.ports ?? []).filter(isTcp).map(readPort)
  const hasSelector = !isName && spec.selector !== undefined && Object.keys(spec.selector).length > 0
  return {
    ...identityOf(service),
    // What a name stands for listens where the one who asks thinks; without ports that is HTTP's.
    ports: isName && ports.length === 0 ? NAMED_PORTS : ports,
    ...datagramsOf(spec.ports),
    ...(hasSelector && { selector: spec.selector }),
    ...(isName && { externalName: spec.externalName?.toLowerCase() ?? '' }),
    ...(spec.clusterIP === 'None' && !isName && { isHeadless: true }),
    ...visibilityOf(service),
    localFailover: service.metadata.annotations?.[ANNOTATIONS.localFailover] !== 'false',
    addresses: [...new Set([spec.clusterIP ?? '', ...(spec.clusterIPs ?? [])])].filter((ip) => isIP(ip) !== 0),
  }
}

const NAMED_PORTS: readonly PortFacts[] = [{ name: 'http', port: 80, targetPort: 80, protocol: 'http' }]

/** Istio's annotation, with the words of `exportTo`. */
function visibilityOf({ metadata }: Service): Pick<ServiceFacts, 'exportTo'> {
  const said = metadata.annotations?.['networking.istio.io/exportTo']
  return said === undefined ? {} : { exportTo: said.split(',').map((name) => name.trim()) }
}

function readPort({ name = '', port, targetPort = port, appProtocol }: ServicePort): PortFacts {
  return { name, port, targetPort, ...protocolOf(appProtocol, name) }
}

const GRPC_WEB = 'grpc-web'
const HTTP_PROTOCOLS = new Set(['http', 'http2', 'grpc', 'h2c', 'ws'])
const HTTP2_PROTOCOLS = new Set(['http2', 'grpc', 'h2c'])
const TLS_PROTOCOLS = new Set(['tls', 'https', 'wss'])
const TCP_PROTOCOLS = new Set(['tcp', 'tls', 'https', 'wss', 'mysql', 'mongo', 'redis', 'postgres', 'postgresql'])

/** Istio's rules: `appProtocol` (with or without a domain before it), or the port's name up to its first hyphen. */
function protocolOf(
  appProtocol: string | undefined,
  name: string,
): Pick<PortFacts, 'protocol' | 'isHttp2' | 'isGrpcWeb' | 'isTls'> {
  const said = appProtocol?.toLowerCase() ?? name
  const word = said.slice(said.lastIndexOf('/') + 1)
  const isOne = (of: ReadonlySet<string>): boolean => of.has(word) || of.has(word.split('-')[0] ?? '')
  if (word === GRPC_WEB || word.startsWith(`${GRPC_WEB}-`)) return { protocol: 'http', isHttp2: true, isGrpcWeb: true }
  if (isOne(HTTP_PROTOCOLS)) return { protocol: 'http', ...(isOne(HTTP2_PROTOCOLS) && { isHttp2: true }) }
  return isOne(TCP_PROTOCOLS) ? { protocol: 'tcp', ...(isOne(TLS_PROTOCOLS) && { isTls: true }) } : {}
}

export function readPod(pod: Pod): PodFacts | undefined {
  const { spec, status } = pod
  // A pod that ended keeps its address while another may already have it.
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined
  const gateway = gatewayOf(pod)
  const ports: Record<string, number> = {}
  for (const container of spec.containers) {
    for (const { name, containerPort } of container.ports ?? []) if (name !== undefined) ports[name] = containerPort
  }
  return {
    ...identityOf(pod),
    uid: pod.metadata.uid ?? '',
    ...addressesOf(pod),
    serviceAccount: serviceAccountOf(spec),
    node: spec.nodeName ?? '',
    workload: workloadOf(pod),
    hasSidecar: hasSidecar(pod) || gateway.gateway !== undefined,
    captured: isCaptured(pod),
    ...(answersNames(pod) && { answersNames: true }),
    ready: isReady(pod),
    labels: pod.metadata.labels ?? {},
    ...gateway,
    ports,
  }
}

function gatewayOf({ metadata }: Pod): Pick<PodFacts, 'gateway' | 'topology'> {
  const gateway = metadata.labels?.[LABELS.gateway]
  if (gateway !== 'ingress' && gateway !== 'egress') return {}
  const topology = readTopology(metadata.annotations?.[PROXY_CONFIG_ANNOTATION])
  return { gateway, ...(topology !== undefined && { topology }) }
}

function addressesOf({ status }: Pod): Pick<PodFacts, 'ip' | 'ipv6'> {
  const { podIP: ip = '', podIPs = [] } = status ?? {}
  const ipv6 = podIPs.find((each) => isIP(each.ip) === 6)?.ip
  return { ip, ...(ipv6 !== undefined && ipv6 !== ip && { ipv6 }) }
}

function isReady(pod: Pod): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

/** The Deployment behind a ReplicaSet is the name people know; otherwise the owner, or the pod itself. */
function workloadOf(pod: Pod): string {
  const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller === true)
  if (owner === undefined) return pod.metadata.name ?? ''
  const hash = pod.metadata.labels?.['pod-template-hash']
  const isGenerated = owner.kind === 'ReplicaSet' && hash !== undefined && owner.name.endsWith(`-${hash}`)
  return isGenerated ? owner.name.slice(0, -hash.length - 1) : owner.name
}

export function readSlice(slice: EndpointSlice): SliceFacts | undefined {
  const labels = slice.metadata.labels ?? {}
  const isImported = labels[LABELS.sliceManagedBy] === FEDERATION_MANAGER
  const service = labels[isImported ? LABELS.mcsServiceName : LABELS.sliceServiceName]
  if (service === undefined || slice.addressType !== 'IPv4') return undefined
  const imported = isImported ? readImportedFacts(slice) : undefined
  // An imported slice whose facts cannot be read names no identities, so nothing could be reached through it.
  if (isImported && imported === undefined) return undefined
  return {
    namespace: slice.metadata.namespace ?? '',
    service,
    ports: readSlicePorts(slice),
    endpoints: (slice.endpoints ?? []).flatMap((endpoint) => readEndpoint(endpoint)),
    ...(imported !== undefined && { imported }),
  }
}

function readSlicePorts(slice: EndpointSlice): Record<string, number> {
  const ports: Record<string, number> = {}
  for (const found of slice.ports ?? []) {
    if (isTcp(found) && found.port !== undefined) ports[found.name ?? ''] = found.port
  }
  return ports
}

function readEndpoint(endpoint: SliceEndpoint): readonly SliceEndpointFacts[] {
  const { ready = true, serving = ready, terminating = false } = endpoint.conditions ?? {}
  const state = ready ? 'ready' : serving && terminating ? 'draining' : 'not-ready'
  const pod = endpoint.targetRef?.kind === 'Pod' ? endpoint.targetRef.name : undefined
  const [address] = endpoint.addresses
  if (address === undefined) return []
  const place = { node: endpoint.nodeName ?? '', zone: endpoint.zone ?? '' }
  const { hostname } = endpoint
  return [{ address, ...(hostname !== undefined && { hostname }), ...(pod !== undefined && { pod }), ...place, state }]
}

function readImportedFacts(slice: EndpointSlice): ImportedFacts | undefined {
  const facts = parseJsonObject(slice.metadata.annotations?.[ANNOTATIONS.facts])
  const { cluster, identities, cloud, region, zone, ready, total } = facts
  const hasIdentities = Array.isArray(identities) && identities.every((id) => isIdentity(id))
  if (typeof cluster !== 'string' || !isLabel(cluster) || !hasIdentities) return undefined
  if (!isText(cloud) || !isText(region) || !isText(zone) || !isCount(ready) || !isCount(total)) return undefined
  return { cluster, identities: identities.filter((id) => isIdentity(id)), cloud, region, zone, ready, total }
}

function parseJsonObject(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= 253
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const isIdentity = (value: unknown): value is string => typeof value === 'string' && parseSpiffeId(value) !== undefined

export function readNode(node: Node): Locality {
  return localityOfNode(node.metadata.labels ?? {}, node.spec?.providerID)
}

export function readNamespace(namespace: Namespace): NamespaceFacts {
  const { labels } = namespace.metadata
  return { ...exportToOf(namespace), ...(labels !== undefined && { labels }) }
}

export function readExport(found: ServiceExport): ExportFacts | undefined {
  // A deleted export is withdrawn at once, also while a finalizer still holds the object.
  if (found.metadata.deletionTimestamp !== undefined) return undefined
  return { ...identityOf(found), ...exportToOf(found) }
}

function exportToOf(object: KubeObject): { exportTo?: readonly string[] } {
  const text = object.metadata.annotations?.[ANNOTATIONS.exportTo]
  if (text === undefined) return {}
  return {
    exportTo: text
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
  }
}

export function readImport(found: ServiceImport): ImportFacts | undefined {
  if (found.metadata.deletionTimestamp !== undefined) return undefined
  const ports = found.spec.ports.filter(isTcp).map((port) => readImportPort(port))
  const addresses = (found.spec.ips ?? []).filter((ip) => isIP(ip) !== 0)
  return { ...identityOf(found), ports, ...datagramsOf(found.spec.ports), addresses }
}

function readImportPort({ name = '', port, appProtocol }: ServiceImportPort): PortFacts {
  return { name, port, ...protocolOf(appProtocol, name) }
}

export function readPeer(peer: ClusterPeer): PeerFacts {
  return {
    cluster: peer.metadata.name ?? '',
    trustDomain: peer.spec.trustDomain,
    ...(peer.spec.sameNamespaces !== undefined && { sameNamespaces: peer.spec.sameNamespaces }),
    gateways: peer.spec.gateways.flatMap((text) => parseHostPort(text) ?? []),
    dataLost: peer.status?.data?.state === 'Lost',
  }
}

function identityOf(object: KubeObject): { namespace: string; name: string } {
  return { namespace: object.metadata.namespace ?? '', name: object.metadata.name ?? '' }
}

/** For SRV records alone. */
function datagramsOf(
  ports: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[] = [],
): { datagrams?: readonly DatagramPort[] } {
  const found = ports.filter(({ protocol }) => protocol === 'UDP').map(({ name = '', port }) => ({ name, port }))
  return found.length === 0 ? {} : { datagrams: found }
}

function isTcp(port: { readonly protocol?: string }): boolean {
  return (port.protocol ?? 'TCP') === 'TCP'
}
