/**
 * Where a cluster's endpoints run: region and zone as the nodes' labels say, the cloud from the node's providerID
 * (design, Wire contract, EDS metadata). Pure; weighing is model/weigh and the control plane's.
 */
import { type Locality, localityOfNode } from '../../src/model/locality.ts'
import type { Node } from '../../src/kube/kinds.ts'

export type LocalityOf = (endpoint: { nodeName?: string; zone?: string }) => Locality

/** The node decides; an endpoint whose node is unknown keeps its own zone label and the region of that zone's nodes. */
export function localities(nodes: readonly Node[]): LocalityOf {
  const byNode = new Map<string, Locality>()
  const byZone = new Map<string, Locality>()
  for (const node of nodes) {
    const locality = localityOfNode(node.metadata.labels ?? {}, node.spec?.providerID)
    if (node.metadata.name !== undefined) byNode.set(node.metadata.name, locality)
    byZone.set(locality.zone, locality)
  }
  return ({ nodeName, zone }) =>
    byNode.get(nodeName ?? '') ?? byZone.get(zone ?? '') ?? { cloud: '', region: '', zone: zone ?? '' }
}
