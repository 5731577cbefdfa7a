/**
 * The columns of the built-in kinds, as `kubectl get` and `-o wide` show them. A cell reads the object and nothing
 * else; what a kind prints in several columns is computed once per cell, which is cheap enough for terminals.
 */
import type { Column } from '../kinds/kind.ts'
import { child, children, numberAt, text, texts, type ApiObject } from '../object.ts'
import { selectorText } from '../store/selectors.ts'
import { age } from './age.ts'
import { CLUSTER_COLUMNS } from './cluster-columns.ts'
import { AGE, type Cell, column, NAME, spec, status, wide } from './makers.ts'
import { podReady, podRestarts, podStatus } from './pod-status.ts'

const CREATED_AT: Column = {
  name: 'Created At',
  type: 'date',
  cell: (object) => object.metadata.creationTimestamp ?? '',
}

const orNone = (value: string): string => (value === '' ? '<none>' : value)
const count = (object: ApiObject, part: 'spec' | 'status', field: string): number => numberAt(object[part], field) ?? 0

export const DEFAULT_COLUMNS: readonly Column[] = [NAME, AGE]

function containers(object: ApiObject, field: 'name' | 'image'): string {
  const pod = child(child(spec(object), 'template'), 'spec')
  return children(pod, 'containers')
    .map((container) => text(container, field))
    .join(',')
}

const WORKLOAD_WIDE: readonly Column[] = [
  wide('Containers', (object) => containers(object, 'name')),
  wide('Images', (object) => containers(object, 'image')),
  wide('Selector', (object) => selectorText(child(spec(object), 'selector'))),
]

/** Capped, since a busy Service would fill the terminal. */
function listSome(items: readonly string[], most: number): string {
  if (items.length === 0) return '<none>'
  const rest = items.length > most ? ` + ${items.length - most} more...` : ''
  return items.slice(0, most).join(',') + rest
}

/** `<pending>` tells a load balancer that has no address yet from a Service that wants none. */
function externalIp(object: ApiObject): string {
  const ingress = children(child(status(object), 'loadBalancer'), 'ingress').map(
    (entry) => text(entry, 'ip') || text(entry, 'hostname'),
  )
  const external = texts(spec(object), 'externalIPs')
  switch (text(spec(object), 'type')) {
    case 'ExternalName':
      return text(spec(object), 'externalName')
    case 'LoadBalancer':
      return [...ingress, ...external].join(',') || '<pending>'
    default:
      return orNone(external.join(','))
  }
}

function servicePorts(object: ApiObject): string {
  const ports = children(spec(object), 'ports').map((port) => {
    const node = numberAt(port, 'nodePort') ?? 0
    return `${String(port['port'])}${node > 0 ? `:${node}` : ''}/${text(port, 'protocol') || 'TCP'}`
  })
  return orNone(ports.join(','))
}

function endpointAddresses(object: ApiObject): string {
  const all = children(object, 'subsets').flatMap((subset) => {
    const addresses = children(subset, 'addresses').map((address) => text(address, 'ip'))
    const ports = children(subset, 'ports')
    if (ports.length === 0) return addresses
    return ports.flatMap((port) => addresses.map((address) => `${address}:${String(port['port'])}`))
  })
  return listSome(all, 3)
}

/** A port without number means all of them. */
function slicePorts(object: ApiObject): string {
  const ports = children(object, 'ports').map((port) => numberAt(port, 'port')?.toString() ?? '*')
  return ports.length === 0 ? '<unset>' : listSome(ports, 3)
}

/** A cordoned node is ready and yet takes no pods: both words matter. */
function nodeStatus(object: ApiObject): string {
  const ready = children(status(object), 'conditions').find((condition) => condition['type'] === 'Ready')
  const word = ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady'
  return spec(object)['unschedulable'] === true ? `${word},SchedulingDisabled` : word
}

const ROLE_LABEL = 'node-role.kubernetes.io/'

function nodeRoles(object: ApiObject): string {
  const roles = Object.keys(object.metadata.labels ?? {}).filter((key) => key.startsWith(ROLE_LABEL))
  return orNone(
    roles
      .map((key) => key.slice(ROLE_LABEL.length))
      .sort()
      .join(','),
  )
}

function nodeAddress(type: string): Cell {
  return (object) =>
    orNone(
      text(
        children(status(object), 'addresses').find((address) => address['type'] === type),
        'address',
      ),
    )
}

const nodeInfo =
  (field: string): Cell =>
  (object) =>
    text(child(status(object), 'nodeInfo'), field) || '<unknown>'

function roleOf(object: ApiObject): string {
  const ref = child(object, 'roleRef')
  return `${text(ref, 'kind')}/${text(ref, 'name')}`
}

function subjects(kind: string): Cell {
  return (object) =>
    children(object, 'subjects')
      .filter((subject) => subject['kind'] === kind)
      .map((subject) =>
        kind === 'ServiceAccount' ? `${text(subject, 'namespace')}/${text(subject, 'name')}` : text(subject, 'name'),
      )
      .join(', ')
}

const BINDING_COLUMNS: readonly Column[] = [
  NAME,
  column('Role', roleOf),
  AGE,
  wide('Users', subjects('User')),
  wide('Groups', subjects('Group')),
  wide('ServiceAccounts', subjects('ServiceAccount')),
]

/** Newer clients write series or eventTime, older ones lastTimestamp. */
function lastSeen(object: ApiObject): string {
  const series = text(child(object, 'series'), 'lastObservedTime')
  return series || text(object, 'lastTimestamp') || text(object, 'eventTime') || text(object, 'firstTimestamp')
}

function involved(object: ApiObject): string {
  const target = child(object, 'involvedObject')
  return `${text(target, 'kind').toLowerCase()}/${text(target, 'name')}`
}

function source(object: ApiObject): string {
  const from = child(object, 'source')
  return [text(from, 'component') || text(object, 'reportingComponent'), text(from, 'host')]
    .filter((part) => part !== '')
    .join(', ')
}

/** By storage key. */
export const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  pods: [
    NAME,
    column('Ready', podReady),
    column('Status', podStatus),
    column('Restarts', podRestarts),
    AGE,
    wide('IP', (object) => orNone(text(status(object), 'podIP'))),
    wide('Node', (object) => orNone(text(spec(object), 'nodeName'))),
    wide('Nominated Node', (object) => orNone(text(status(object), 'nominatedNodeName'))),
    wide('Readiness Gates', (object) =>
      children(spec(object), 'readinessGates').length === 0
        ? '<none>'
        : String(children(spec(object), 'readinessGates').length),
    ),
  ],
  services: [
    NAME,
    column('Type', (object) => text(spec(object), 'type')),
    column('Cluster-IP', (object) => orNone(text(spec(object), 'clusterIP'))),
    column('External-IP', externalIp),
    column('Port(s)', servicePorts),
    AGE,
    wide('Selector', (object) => orNone(selectorText({ matchLabels: child(spec(object), 'selector') }))),
  ],
  namespaces: [NAME, column('Status', (object) => text(status(object), 'phase')), AGE],
  nodes: [
    NAME,
    column('Status', nodeStatus),
    column('Roles', nodeRoles),
    AGE,
    column('Version', (object) => text(child(status(object), 'nodeInfo'), 'kubeletVersion')),
    wide('Internal-IP', nodeAddress('InternalIP')),
    wide('External-IP', nodeAddress('ExternalIP')),
    wide('OS-Image', nodeInfo('osImage')),
    wide('Kernel-Version', nodeInfo('kernelVersion')),
    wide('Container-Runtime', nodeInfo('containerRuntimeVersion')),
  ],
  configmaps: [
    NAME,
    column(
      'Data',
      (object) => Object.keys(child(object, 'data')).length + Object.keys(child(object, 'binaryData')).length,
      'integer',
    ),
    AGE,
  ],
  secrets: [
    NAME,
    column('Type', (object) => text(object, 'type')),
    column('Data', (object) => Object.keys(child(object, 'data')).length, 'integer'),
    AGE,
  ],
  serviceaccounts: [NAME, column('Secrets', (object) => children(object, 'secrets').length, 'integer'), AGE],
  endpoints: [NAME, column('Endpoints', endpointAddresses), AGE],
  events: [
    column('Last Seen', (object, nowMs) => age(lastSeen(object), nowMs)),
    column('Type', (object) => text(object, 'type')),
    column('Reason', (object) => text(object, 'reason')),
    column('Object', involved),
    wide('Subobject', (object) => text(child(object, 'involvedObject'), 'fieldPath')),
    wide('Source', source),
    column('Message', (object) => text(object, 'message').trim()),
    wide('First Seen', (object, nowMs) => age(text(object, 'firstTimestamp') || text(object, 'eventTime'), nowMs)),
    wide('Count', (object) => numberAt(object, 'count') ?? 1, 'integer'),
    { ...NAME, priority: 1 },
  ],
  'deployments.apps': [
    NAME,
    column('Ready', (object) => `${count(object, 'status', 'readyReplicas')}/${count(object, 'spec', 'replicas')}`),
    column('Up-to-date', (object) => count(object, 'status', 'updatedReplicas'), 'integer'),
    column('Available', (object) => count(object, 'status', 'availableReplicas'), 'integer'),
    AGE,
    ...WORKLOAD_WIDE,
  ],
  'replicasets.apps': [
    NAME,
    column('Desired', (object) => count(object, 'spec', 'replicas'), 'integer'),
    column('Current', (object) => count(object, 'status', 'replicas'), 'integer'),
    column('Ready', (object) => count(object, 'status', 'readyReplicas'), 'integer'),
    AGE,
    ...WORKLOAD_WIDE,
  ],
  ...CLUSTER_COLUMNS,
  'endpointslices.discovery.k8s.io': [
    NAME,
    column('AddressType', (object) => text(object, 'addressType')),
    column('Ports', slicePorts),
    column('Endpoints', (object) => {
      const addresses = children(object, 'endpoints').flatMap((endpoint) => texts(endpoint, 'addresses'))
      return addresses.length === 0 ? '<unset>' : listSome(addresses, 3)
    }),
    AGE,
  ],
  'leases.coordination.k8s.io': [NAME, column('Holder', (object) => text(spec(object), 'holderIdentity')), AGE],
  'roles.rbac.authorization.k8s.io': [NAME, CREATED_AT],
  'clusterroles.rbac.authorization.k8s.io': [NAME, CREATED_AT],
  'rolebindings.rbac.authorization.k8s.io': BINDING_COLUMNS,
  'clusterrolebindings.rbac.authorization.k8s.io': BINDING_COLUMNS,
  'customresourcedefinitions.apiextensions.k8s.io': [NAME, CREATED_AT],
}
