/** What every cluster has from its first start: namespaces, RBAC roles and bindings, the `kubernetes` Service. */
import { randomUUID } from 'node:crypto'
import { BUILTIN_CLUSTER_ROLE_BINDINGS, BUILTIN_CLUSTER_ROLES } from './auth/builtin-roles.ts'
import { text, timestamp, type ApiObject } from './object.ts'
import type { ClusterIpAllocator } from './kinds/cluster-ip.ts'
import { CRD_STORAGE_KEY, registerCrd, removeInstances } from './kinds/crd-rules.ts'
import type { RuleContext } from './kinds/kind.ts'
import type { Store } from './store/store.ts'

/** kube-node-lease too: node agents write their heartbeats there. */
const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease']
const RBAC = 'rbac.authorization.k8s.io'

/** Creates what is missing; what a person changed stays changed. */
export function bootstrap(context: RuleContext, server: { host: string; port: number }): void {
  const { store, clock } = context
  const create = (type: string, object: Record<string, unknown>): void => ensure(store, clock.now(), type, object)
  for (const name of NAMESPACES) create('namespaces', namespace(name))
  for (const role of BUILTIN_CLUSTER_ROLES) create(`clusterroles.${RBAC}`, { ...role })
  for (const binding of BUILTIN_CLUSTER_ROLE_BINDINGS) create(`clusterrolebindings.${RBAC}`, { ...binding })
  create('services', kubernetesService(context.clusterIps.apiServerIp))
  replace(store, clock.now(), 'endpoints', kubernetesEndpoints(server))
  replace(store, clock.now(), 'endpointslices.discovery.k8s.io', kubernetesSlice(server))
}

/** Brings back what is not stored but follows from what is: served kinds and taken addresses. */
export function restore(context: RuleContext): void {
  for (const crd of context.store.list(CRD_STORAGE_KEY)) registerCrd(crd, context.registry)
  for (const crd of context.store.list(CRD_STORAGE_KEY))
    if (crd.metadata.deletionTimestamp !== undefined) removeInstances(crd.metadata.name ?? '', context)
  takeAddresses(context.store, context.clusterIps)
}

function takeAddresses(store: Store, clusterIps: ClusterIpAllocator): void {
  for (const service of store.list('services')) {
    const address = text(service['spec'], 'clusterIP')
    if (address !== '' && address !== 'None') clusterIps.take(address)
  }
}

// oxlint-disable-next-line max-params -- one write, four parts
function ensure(store: Store, nowMs: number, type: string, object: Record<string, unknown>): void {
  const made = complete(nowMs, object)
  const key = storeKey(made)
  if (store.get(type, key) === undefined) store.put(type, key, made)
}

/** The API server's own address changes from start to start. */
// oxlint-disable-next-line max-params -- one write, four parts
function replace(store: Store, nowMs: number, type: string, object: Record<string, unknown>): void {
  const made = complete(nowMs, object)
  const key = storeKey(made)
  const stored = store.get(type, key)
  if (stored === undefined) store.put(type, key, made)
  else if (JSON.stringify(contentOf(stored)) !== JSON.stringify(contentOf(made)))
    store.put(type, key, { ...made, metadata: stored.metadata })
}

function contentOf(object: ApiObject): Record<string, unknown> {
  const { metadata: _, ...content } = object
  return content
}

function storeKey({ metadata }: ApiObject): string {
  return metadata.namespace === undefined ? (metadata.name ?? '') : `${metadata.namespace}/${metadata.name}`
}

function complete(nowMs: number, object: Record<string, unknown>): ApiObject {
  const metadata = {
    ...(object['metadata'] as ApiObject['metadata']),
    uid: randomUUID(),
    creationTimestamp: timestamp(nowMs),
  }
  return { ...object, metadata } as ApiObject
}

function namespace(name: string): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'kubernetes.io/metadata.name': name } },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  }
}

const KUBERNETES = {
  name: 'kubernetes',
  namespace: 'default',
  labels: { component: 'apiserver', provider: 'kubernetes' },
}

function kubernetesService(clusterIP: string): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: KUBERNETES,
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: 6443 }],
      sessionAffinity: 'None',
    },
    status: { loadBalancer: {} },
  }
}

function kubernetesEndpoints(server: { host: string; port: number }): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...KUBERNETES, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: server.host }], ports: [{ name: 'https', port: server.port, protocol: 'TCP' }] }],
  }
}

function kubernetesSlice(server: { host: string; port: number }): Record<string, unknown> {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...KUBERNETES, generation: 1, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [server.host], conditions: { ready: true } }],
    ports: [{ name: 'https', port: server.port, protocol: 'TCP' }],
  }
}
