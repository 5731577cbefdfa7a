/**
 * Failover weights: where a caller's requests should go, nearest first. Pure and deterministic, so that the simulator
 * and the control plane say the same. It orders and shares; the proxy does the spilling, from the priorities and from
 * the health it sees (Envoy's overprovisioning of 1.4).
 */
import { type ClusterLocality, distance } from './locality.ts'
import { LABELS } from './names.ts'

/** The endpoints of one service in one zone of one cluster. */
export interface WeighedGroup extends ClusterLocality {
  readonly ready: number
  readonly total: number
  /** False: data to the cluster is known to be lost. The group keeps its place, so that it comes back where it was. */
  readonly healthy: boolean
  /** What all of its endpoints have in common, of the labels that a policy orders by. */
  readonly labels?: Readonly<Record<string, string>>
}

/** What is absent matches any. */
export interface PlacePattern {
  readonly region?: string
  readonly zone?: string
}

/** What the owner of a service says about places; without it nearer is better. */
export interface LocalityPolicy {
  /** Places of the own cluster are alike. */
  readonly flat?: true
  /** Shares for callers at `from`, the first that matches; places that no share names are what is left when those fail. */
  readonly distribute?: readonly {
    readonly from: PlacePattern
    readonly to: readonly { readonly place: PlacePattern; readonly percent: number }[]
  }[]
  /** Callers of the region `from` prefer `to` to other regions, after their own. */
  readonly failover?: readonly { readonly from: string; readonly to: string }[]
  /** The more of these that an endpoint shares with its caller, counted from the first on, the better. */
  readonly priorities?: readonly { readonly label: string; readonly value?: string }[]
}

export interface Weight {
  /** 0 is tried first; priorities in use have no gaps, as gRPC clients require. */
  readonly priority: number
  /** Share within the priority; 0 for a group without ready endpoints. */
  readonly weight: number
}

export interface WeighInput<G extends WeighedGroup> {
  readonly self: ClusterLocality & Pick<WeighedGroup, 'labels'>
  readonly groups: readonly G[]
  readonly policy?: LocalityPolicy
}

/** One weight per group, in the order of the groups. A group with nothing ready shares the last priority in use. */
export function weigh<G extends WeighedGroup>(input: WeighInput<G>): readonly Weight[] {
  const shares = sharesOf(input)
  const ranks = input.groups.map((group, index) => (shares?.[index] === undefined ? rankOf(group, input) : FIRST))
  const inUse = ranks.filter((_, index) => (input.groups[index]?.ready ?? 0) > 0)
  const steps = [...new Set(inUse)].sort((a, b) => a - b)
  return input.groups.map((group, index) => {
    if (group.ready <= 0) return { priority: Math.max(steps.length - 1, 0), weight: 0 }
    return { priority: steps.indexOf(ranks[index] ?? 0), weight: shares?.[index] ?? group.ready }
  })
}

/** Before whatever is ranked by its place. */
const FIRST = -1
/** Shares are percents of percents; this much finer, the smallest is still a weight. */
const SHARE_SCALE = 1_000

/** Undefined: nobody said how to share. A group that no share names has none. */
function sharesOf<G extends WeighedGroup>({
  self,
  groups,
  policy,
}: WeighInput<G>): readonly (number | undefined)[] | undefined {
  const rule = policy?.distribute?.find(({ from }) => isAt(self, from))
  if (rule === undefined) return undefined
  const chosen = groups.map((group) => rule.to.findIndex(({ place }) => isAt(group, place)))
  return groups.map((group, index) => {
    const share = rule.to[chosen[index] ?? -1]
    if (share === undefined || share.percent <= 0) return undefined
    const together = groups.reduce((sum, { ready }, other) => (chosen[other] === chosen[index] ? sum + ready : sum), 0)
    // By readiness among those that share it.
    return Math.max(1, Math.round((share.percent * SHARE_SCALE * group.ready) / Math.max(together, 1)))
  })
}

const isAt = (at: ClusterLocality, { region, zone }: PlacePattern): boolean =>
  (region === undefined || region === at.region) && (zone === undefined || zone === at.zone)

function rankOf<G extends WeighedGroup>(group: G, { self, policy }: WeighInput<G>): number {
  if (policy?.flat === true) return group.cluster === self.cluster ? 0 : 1
  if (policy?.priorities !== undefined) return policy.priorities.length - sharedLabels(group, self, policy.priorities)
  const away = distance(self, group)
  const next = policy?.failover?.find(({ from }) => from === self.region)?.to
  // Before every other region, whichever cloud it is in, and after all of the own.
  if (next === undefined || group.region === self.region) return away
  return group.region === next ? away : away + OTHER_REGIONS
}

/** Beyond any distance. */
const OTHER_REGIONS = 100

function sharedLabels(
  group: WeighedGroup,
  self: WeighInput<WeighedGroup>['self'],
  priorities: NonNullable<LocalityPolicy['priorities']>,
): number {
  const differs = priorities.findIndex(({ label, value }) => labelOf(group, label) !== (value ?? labelOf(self, label)))
  return differs < 0 ? priorities.length : differs
}

/** Istio's names for places are labels of every endpoint. */
function labelOf(at: ClusterLocality & Pick<WeighedGroup, 'labels'>, label: string): string | undefined {
  switch (label) {
    case LABELS.region:
      return at.region
    case LABELS.zone:
      return at.zone
    // One network per cluster: between two there is always a gateway.
    case 'topology.istio.io/cluster':
    case 'topology.istio.io/network':
      return at.cluster
    default:
      return at.labels?.[label]
  }
}
