/**
 * The endpoints of a Service, from its pods. Pure. Pods whose named target port resolves differently land in slices of
 * their own; a pod that is ending stays listed as terminating until it is gone, so that whoever still talks to it can.
 */
import type { Node, Pod, Service, ServicePort, SliceEndpoint, SlicePort } from '../../kube/kinds.ts'
import { LABELS } from '../../model/names.ts'
import { matchesAll } from '../cluster/label-selector.ts'
import { isOver, isReady } from './replica-set.ts'

/** The controller's limit in Kubernetes. */
export const SLICE_ENDPOINTS_MAX = 100

export interface DesiredSlice {
  readonly ports: SlicePort[]
  readonly endpoints: SliceEndpoint[]
}

export function desiredSlices(service: Service, pods: readonly Pod[], nodes: readonly Node[]): DesiredSlice[] {
  const zones = new Map(nodes.map((node) => [node.metadata.name ?? '', node.metadata.labels?.[LABELS.zone]]))
  const groups = new Map<string, { ports: SlicePort[]; endpoints: SliceEndpoint[] }>()
  for (const pod of selectedPods(service, pods)) {
    const ports = (service.spec.ports ?? []).flatMap((port) => resolvePort(port, pod))
    const key = JSON.stringify(ports)
    const group = groups.get(key) ?? { ports, endpoints: [] }
    group.endpoints.push(endpointOf(service, pod, zones.get(pod.spec.nodeName ?? '')))
    groups.set(key, group)
  }
  // A Service without pods has one empty slice: nobody there is an answer too.
  if (groups.size === 0)
    return [{ ports: (service.spec.ports ?? []).flatMap((port) => resolvePort(port, undefined)), endpoints: [] }]
  return [...groups.values()].flatMap(({ ports, endpoints }) =>
    chunks(endpoints).map((part) => ({ ports, endpoints: part })),
  )
}

function selectedPods(service: Service, pods: readonly Pod[]): Pod[] {
  const selects = matchesAll(service.spec.selector)
  return pods
    .filter((pod) => selects(pod.metadata.labels ?? {}) && !isOver(pod) && (pod.status?.podIP ?? '') !== '')
    .sort((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1))
}

function endpointOf(service: Service, pod: Pod, zone: string | undefined): SliceEndpoint {
  const serving = isReady(pod)
  const terminating = pod.metadata.deletionTimestamp !== undefined
  const { name = '', namespace = '', uid = '' } = pod.metadata
  const named = pod.spec.subdomain === service.metadata.name && pod.spec.hostname !== undefined
  return {
    addresses: [pod.status?.podIP ?? ''],
    conditions: {
      ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating),
      serving,
      terminating,
    },
    ...(named && pod.spec.hostname !== undefined ? { hostname: pod.spec.hostname } : {}),
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: { kind: 'Pod', name, namespace, uid },
  }
}

/** No port when the pod has none of that name: then it does not serve that port. */
function resolvePort(port: ServicePort, pod: Pod | undefined): SlicePort[] {
  const target = port.targetPort ?? port.port
  const number = typeof target === 'number' ? target : containerPort(pod, target)
  if (number === undefined) return []
  return [
    {
      name: port.name ?? '',
      port: number,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    },
  ]
}

function containerPort(pod: Pod | undefined, name: string): number | undefined {
  const sidecars = (pod?.spec.initContainers ?? []).filter((container) => container.restartPolicy === 'Always')
  for (const container of [...(pod?.spec.containers ?? []), ...sidecars]) {
    const found = container.ports?.find((each) => each.name === name)
    if (found !== undefined) return found.containerPort
  }
  return undefined
}

function chunks(endpoints: SliceEndpoint[]): SliceEndpoint[][] {
  const parts: SliceEndpoint[][] = []
  for (let start = 0; start < endpoints.length; start += SLICE_ENDPOINTS_MAX) {
    parts.push(endpoints.slice(start, start + SLICE_ENDPOINTS_MAX))
  }
  return parts
}
