/** The labels of callers that any rule of the cluster asks for; all others tell no two callers apart. */
import type { NetworkingFacts } from '../../observe/facts-networking.ts'

type Rules = Pick<NetworkingFacts, 'virtualServices' | 'destinationRules' | 'sidecars'>

/** Sorted. */
export function askedLabels({ virtualServices, destinationRules, sidecars }: Rules): readonly string[] {
  const asked = new Set<string>()
  const add = (labels: Readonly<Record<string, string>> | undefined): void => {
    for (const label of Object.keys(labels ?? {})) asked.add(label)
  }
  for (const { spec } of virtualServices.values()) {
    const routes = [...(spec.http ?? []), ...(spec.tls ?? []), ...(spec.tcp ?? [])]
    for (const { match = [] } of routes) for (const { sourceLabels } of match) add(sourceLabels)
  }
  for (const { spec } of destinationRules.values()) {
    add(spec.workloadSelector?.matchLabels)
    const policies = [spec.trafficPolicy, ...(spec.subsets ?? []).map(({ trafficPolicy }) => trafficPolicy)]
    for (const policy of policies.flatMap((found) => [found, ...(found?.portLevelSettings ?? [])])) {
      for (const label of policy?.loadBalancer?.localityLbSetting?.failoverPriority ?? [])
        asked.add(label.split('=')[0] ?? '')
    }
  }
  for (const { spec } of sidecars.values()) add(spec.workloadSelector?.labels)
  return [...asked].sort()
}
