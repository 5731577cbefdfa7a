/** Circuit breakers of services for people and for Prometheus: state, how often it changed, what was refused. */
import type { BreakerState } from './balance/breaker-state.ts'
import type { ClusterState } from './balance/cluster.ts'
import { family, formatLabels } from './series.ts'

export interface BreakerPage {
  readonly state: BreakerState['kind']
  readonly rejected: number
  readonly transitions: Readonly<Record<BreakerState['kind'], number>>
  /** Of the present window. */
  readonly requests: number
  readonly failures: number
  readonly slow: number
}

/** Undefined: the service has none. */
export function breakerPage({ breaker }: ClusterState): BreakerPage | undefined {
  return (
    breaker && { state: breaker.state, rejected: breaker.rejected, transitions: breaker.transitions, ...breaker.counts }
  )
}

export function breakerExposition(clusters: Iterable<ClusterState>): string[] {
  const states: string[] = []
  const transitions: string[] = []
  const rejected: string[] = []
  for (const { config, breaker } of clusters) {
    if (breaker === undefined) continue
    const cluster = config.name
    for (const [state, count] of Object.entries(breaker.transitions)) {
      const value = breaker.state === state ? 1 : 0
      states.push(`isthmus_service_breaker_state{${formatLabels({ cluster, state })}} ${value}`)
      transitions.push(`isthmus_service_breaker_transitions_total{${formatLabels({ cluster, to: state })}} ${count}`)
    }
    rejected.push(`isthmus_service_breaker_rejected_total{${formatLabels({ cluster })}} ${breaker.rejected}`)
  }
  return [
    ...family('isthmus_service_breaker_state', 'gauge', 'State of the circuit breaker: 1 for the present one.', states),
    ...family(
      'isthmus_service_breaker_transitions_total',
      'counter',
      'Changes of the state, by the new one.',
      transitions,
    ),
    ...family('isthmus_service_breaker_rejected_total', 'counter', 'Requests refused while it was open.', rejected),
  ]
}
