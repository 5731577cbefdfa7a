/** The labels of callers that any rule of the cluster asks for; all others tell no two callers apart. */
import type { DestinationRuleSpec, VirtualServiceSpec } from '../../../kube/kinds/networking.ts'
import type { NetworkingFacts } from '../../observe/facts-networking.ts'
import type { CallerMatch } from './http-match.ts'

type Rules = Pick<NetworkingFacts, 'virtualServices' | 'destinationRules' | 'sidecars'>

/** Sorted. */
export function askedLabels({ virtualServices, destinationRules, sidecars }: Rules): readonly string[] {
  const asked = new Set<string>()
  const rules = [
    ...[...virtualServices.values()].flatMap(({ spec }) => sourceLabels(spec)),
    ...[...destinationRules.values()].flatMap(({ spec }) => [
      ...Object.keys(spec.workloadSelector?.matchLabels ?? {}),
      ...orderLabels(spec),
    ]),
    ...[...sidecars.values()].flatMap(({ spec }) => Object.keys(spec.workloadSelector?.labels ?? {})),
  ]
  for (const label of rules) asked.add(label)
  return [...asked].sort()
}

const sourceLabels = ({ http = [], tls = [], tcp = [] }: VirtualServiceSpec): readonly string[] =>
  [...http, ...tls, ...tcp].flatMap(({ match = [] }) =>
    match.flatMap((one: CallerMatch) => Object.keys(one.sourceLabels ?? {})),
  )

/** Callers of one place may differ in what is near to them. */
function orderLabels({ trafficPolicy, subsets = [] }: DestinationRuleSpec): readonly string[] {
  const policies = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)]
  const settings = policies.flatMap((policy) => [
    policy?.loadBalancer,
    ...(policy?.portLevelSettings ?? []).map(({ loadBalancer }) => loadBalancer),
  ])
  return settings.flatMap((found) =>
    (found?.localityLbSetting?.failoverPriority ?? []).map((label) => label.split('=')[0] ?? ''),
  )
}
