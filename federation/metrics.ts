/** isthmus_federation_*: read from the term when Prometheus scrapes; nothing counts in the hot path but plain numbers. */
import { createRegistry, Gauge, type Registry } from '../src/runtime/metrics.ts'
import type { Term } from './term.ts'

const STATES = { Connected: 1, Stale: 0, Never: 0 } as const
const DATA = { Healthy: 1, Lost: 0, Unknown: -1 } as const

export function federationMetrics(term: () => Term | undefined): Registry {
  const registry = createRegistry()
  const registers = [registry]
  const gauge = (name: string, help: string, value: (term: Term) => number): void => {
    const metric: Gauge = new Gauge({
      name: `isthmus_federation_${name}`,
      help,
      registers,
      collect: () => {
        const current = term()
        metric.set(current === undefined ? 0 : value(current))
      },
    })
  }
  gauge('leader', '1 while this replica leads.', () => 1)
  gauge('epoch', 'Lease transitions of the present term.', ({ epoch }) => epoch)
  gauge('rounds', 'Reconciliation rounds of this term.', ({ controller }) => controller.rounds)
  gauge('writes', 'Writes to the API server in this term.', ({ writer }) => writer.writes)
  gauge(
    'object_rejections',
    'Objects that the API server refused in this term.',
    ({ controller }) => controller.rejections,
  )
  gauge('streams_refused', 'Peer streams refused by identity in this term.', ({ links }) => links.refusedStreams)
  gauge('names_stamped', 'Hellos that claimed another name than the certificate.', ({ links }) => links.stampedNames)
  peerGauges(registry, term)
  return registry
}

function peerGauges(registry: Registry, term: () => Term | undefined): void {
  type Facts = NonNullable<ReturnType<Term['links']['facts']>>
  const gauge = (name: string, help: string, value: (facts: Facts) => number | undefined): void => {
    const metric: Gauge = new Gauge({
      name: `isthmus_federation_peer_${name}`,
      help,
      labelNames: ['peer'],
      registers: [registry],
      collect: () => {
        metric.reset()
        const links = term()?.links
        for (const peer of links?.names ?? []) {
          const facts = links?.facts(peer)
          const number = facts === undefined ? undefined : value(facts)
          if (number !== undefined) metric.set({ peer }, number)
        }
      },
    })
  }
  gauge('connected', '1 while the control stream is fresh.', ({ sync }) => STATES[sync.state])
  gauge('sync_age_seconds', 'Since the peer was last heard.', ({ sync }) =>
    sync.ageMs === undefined ? undefined : sync.ageMs / 1_000,
  )
  gauge('data_healthy', '1 healthy, 0 lost, -1 unknown: the probed data path.', ({ health }) => DATA[health.state])
  gauge('data_rtt_seconds', 'Round trip of the last good probe.', ({ health }) =>
    health.rttMs === undefined ? undefined : health.rttMs / 1_000,
  )
  gauge('services_imported', 'Services known from the peer.', ({ imported }) => imported)
  gauge('services_exported', 'Services told to the peer.', ({ exported }) => exported)
  gauge('services_held', 'Services that a snapshot omitted and that are kept.', ({ held }) => held?.omitted.length ?? 0)
}
