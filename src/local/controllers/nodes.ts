/**
 * The cluster's Node objects: one per zone, labelled as the cloud would, so that locality is read from where it is
 * read on any Kubernetes. They are written once at the start; nothing on one machine can make them unready.
 */
import { createHash } from 'node:crypto'
import type { KubeClient } from '../../kube/client.ts'
import { NODES, type Node } from '../../kube/kinds.ts'
import { LABELS } from '../../model/names.ts'
import type { Clock } from '../../runtime/clock.ts'
import { nodeAddress, type AddressPlan } from '../cluster/address-plan.ts'
import type { ClusterSpec } from '../cluster/cluster-spec.ts'

export function nodeNames(spec: ClusterSpec): string[] {
  return spec.zones.map((zone) => `${spec.name}-${zone}`)
}

export async function writeNodes(
  client: KubeClient,
  cluster: { spec: ClusterSpec; plan: AddressPlan },
  clock: Clock,
): Promise<void> {
  const wanted = cluster.spec.zones.map((_, index) => nodeFor(cluster, index, clock))
  const names = new Set(wanted.map((node) => node.metadata.name))
  for (const node of (await client.list(NODES)).items) {
    if (!names.has(node.metadata.name)) await client.remove(NODES, { name: node.metadata.name ?? '' })
  }
  for (const node of wanted) {
    const { status, ...rest } = node
    const name = node.metadata.name ?? ''
    const present = await client.get(NODES, name)
    if (present === undefined) await client.create(NODES, rest)
    else await client.patch(NODES, { name }, { metadata: rest.metadata, spec: rest.spec }, { type: 'merge' })
    await client.patch(NODES, { name }, { status }, { type: 'merge', subresource: 'status' })
  }
}

export function nodeFor(cluster: { spec: ClusterSpec; plan: AddressPlan }, index: number, clock: Clock): Node {
  const { spec, plan } = cluster
  const zone = spec.zones[index] ?? ''
  const name = nodeNames(spec)[index] ?? ''
  const address = nodeAddress(plan, index)
  const now = `${new Date(clock.now()).toISOString().slice(0, 19)}Z`
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
        [LABELS.region]: spec.region,
        [LABELS.zone]: zone,
      },
    },
    spec: { providerID: providerId(spec, zone, name) },
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'KubeletReady',
          message: 'the node agent runs',
          lastTransitionTime: now,
        },
      ],
      capacity: CAPACITY,
      allocatable: CAPACITY,
      nodeInfo: NODE_INFO,
    },
  }
}

/** Nominal: pods share the machine and nothing is reserved. */
const CAPACITY = { cpu: '2', memory: '4Gi', pods: '253' }

const NODE_INFO = {
  architecture: process.arch === 'x64' ? 'amd64' : process.arch,
  bootID: '',
  containerRuntimeVersion: 'process://1',
  kernelVersion: '',
  kubeProxyVersion: '',
  kubeletVersion: 'v1.32.0',
  machineID: '',
  operatingSystem: 'linux',
  osImage: 'isthmus local',
  systemUUID: '',
}

/** As each cloud's controller writes it: the mesh reads the cloud from here. */
function providerId(spec: ClusterSpec, zone: string, node: string): string {
  const id = createHash('sha256').update(`${spec.name}/${zone}`).digest('hex').slice(0, 17)
  switch (spec.cloud) {
    case 'aws':
      return `aws:///${zone}/i-${id}`
    case 'gcp':
      return `gce://isthmus-local/${zone}/${node}`
    case 'azure':
      return `azure:///subscriptions/isthmus-local/resourceGroups/${spec.name}/providers/Microsoft.Compute/virtualMachines/${node}`
    default:
      return `${spec.cloud}://${spec.region}/${zone}/${id}`
  }
}
