import { LABELS } from './names.ts'

/** Where something runs, as Kubernetes labels say; the cloud comes from the node's providerID. */
export interface Locality {
  readonly cloud: string
  readonly region: string
  readonly zone: string
}

export interface ClusterLocality extends Locality {
  readonly cluster: string
}

/**
 * How far `there` is from `here`; lower is nearer. Order: zone, region, cloud, then everything else; at the same
 * distance the own cluster comes before a peer.
 */
export function distance(here: ClusterLocality, there: ClusterLocality): number {
  const peer = here.cluster === there.cluster ? 0 : 1
  return 2 * topologyDistance(here, there) + peer
}

function topologyDistance(here: Locality, there: Locality): number {
  if (here.cloud !== there.cloud) return 3
  if (here.region !== there.region) return 2
  return here.zone === there.zone ? 0 : 1
}

/** Scheme of a node's providerID as the cloud controllers write it -> the name people use. */
const CLOUDS: Readonly<Record<string, string>> = { aws: 'aws', gce: 'gcp', gcp: 'gcp', azure: 'azure' }

/** A node's place by its topology labels and its providerID (`<scheme>:…`); what is not said is empty. */
export function localityOfNode(labels: Readonly<Record<string, string>>, providerId: string | undefined): Locality {
  const scheme = /^([a-z][a-z0-9.+-]*):/.exec(providerId ?? '')?.[1] ?? ''
  return { cloud: CLOUDS[scheme] ?? scheme, region: labels[LABELS.region] ?? '', zone: labels[LABELS.zone] ?? '' }
}
