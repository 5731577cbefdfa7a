/**
 * Every metric family of a data plane, for docs/reference/metrics.md; a test compares it with what a proxy exposes.
 * Envoy's own counters are stats/names.ts.
 */
export interface MetricName {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly doc: string
}

const counter = (name: string, doc: string): MetricName => ({ name, type: 'counter', doc })
const gauge = (name: string, doc: string): MetricName => ({ name, type: 'gauge', doc })
const histogram = (name: string, doc: string): MetricName => ({ name, type: 'histogram', doc })

export const METRIC_NAMES: readonly MetricName[] = [
  counter('istio_requests_total', 'Requests by source, destination and outcome.'),
  histogram('istio_request_duration_milliseconds', 'Time from head to end of response.'),
  histogram('istio_request_bytes', 'Bytes of request heads and bodies.'),
  histogram('istio_response_bytes', 'Bytes of response heads and bodies.'),
  counter('istio_tcp_connections_opened_total', 'TCP connections opened.'),
  counter('istio_tcp_connections_closed_total', 'TCP connections closed.'),
  counter('istio_tcp_received_bytes_total', 'Bytes from clients of TCP connections.'),
  counter('istio_tcp_sent_bytes_total', 'Bytes to clients of TCP connections.'),
  counter('isthmus_series_overflow_total', 'Requests counted as other: too many label sets.'),
  gauge('isthmus_connections', 'Downstream connections open.'),
  counter('isthmus_captured_connections_total', 'Captured connections, by what they spoke.'),
  counter('isthmus_connections_refused_total', 'Connections refused, by reason.'),
  gauge('isthmus_gateway_link_up', 'Whether a gateway of a peer answers.'),
  counter('isthmus_cluster_overflow_total', 'Refused by a circuit breaker, by limit.'),
  gauge('isthmus_service_breaker_state', 'State of the circuit breaker: 1 for the present one.'),
  counter('isthmus_service_breaker_transitions_total', 'Changes of the state, by the new one.'),
  counter('isthmus_service_breaker_rejected_total', 'Requests refused while it was open.'),
  counter('isthmus_dns_queries_total', 'DNS questions, by who answered or why nobody did.'),
  gauge('isthmus_dns_names', 'Names that the control plane gave it to answer.'),
  gauge('isthmus_dns_waiting', 'DNS questions asked of resolvers and not answered yet.'),
  gauge('isthmus_dns_cached', 'Answers of resolvers that are remembered.'),
  gauge('isthmus_config_version', 'Configurations taken since the start.'),
  gauge('process_resident_memory_bytes', 'Resident memory.'),
  counter('process_cpu_seconds_total', 'CPU time, user and system.'),
]
