/** What an Envoy tells its peers about its pod, as our proxies do (proxy/peer-facts.ts): Envoy reads it from here. */
import { PEER_ENVIRONMENT } from '../model/names.ts'
import { formatPeerFacts } from '../model/peer-facts.ts'
import type { NodeFacts } from './bootstrap.ts'

export function peerEnvironment(facts: NodeFacts): Readonly<Record<string, string>> {
  const { workload, version, cluster, region, zone } = facts
  return { [PEER_ENVIRONMENT]: formatPeerFacts({ workload, version, cluster, region, zone }) }
}
