/** The labels of callers that any rule of the cluster asks for; all others tell no two callers apart. */
import type { DestinationRuleSpec, VirtualServiceSpec } from '../../../kube/kinds/networking.ts'
import type { NetworkingFacts } from '../../observe/facts-networking.ts'
import type { CallerMatch } from './http-match.ts'

type Rules = Pick<NetworkingFacts, 'virtualServices' | 'destinationRules' | 'sidecars'>

/** Sorted. */
export function askedLabels({ virtualServices, destinationRules, sidecars }: Rules): readonly string[] {
  const asked = new Set<string>()
  const add = (labels: readonly string[]): void => {
    for (const label of labels) asked.add(label)
  }
  for (const { spec } of virtualServices.values()) add(sourceLabels(spec))
  for (const { spec } of destinationRules.values()) {
    add(Object.keys(spec.workloadSelector?.matchLabels ?? {}))
    add(orderLabels(spec))
  }
  for (const { spec } of sidecars.values()) add(Object.keys(spec.workloadSelector?.labels ?? {}))
  return [...asked].sort()
}

const sourceLabels = ({ http = [], tls = [], tcp = [] }: VirtualServiceSpec): readonly string[] =>
  [...http, ...tls, ...tcp].flatMap(({ match = [] }) =>
    match.flatMap((one: CallerMatch) => Object.keys(one.sourceLabels ?? {})),
  )

/** Callers of one place may differ in what is near to them. */
function orderLabels({ trafficPolicy, subsets = [] }: DestinationRuleSpec): readonly string[] {
  const policies = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)]
  const settings = policies.flatMap((policy) => [policy ?? {}].concat(policy?.portLevelSettings ?? []))
  return settings.flatMap(({ loadBalancer }) =>
    (loadBalancer?.localityLbSetting?.failoverPriority ?? []).map((label) => label.split('=')[0] ?? ''),
  )
}
