/**
 * The counters and gauges of the data path, under Envoy's names: those, and only those, that count the same thing
 * here. Each list becomes an object born with all its fields; who counts adds one to a field and nothing more.
 */

/** `http.<stat_prefix>.` */
export const HTTP_NAMES = [
  'downstream_cx_total',
  'downstream_cx_active',
  'downstream_cx_destroy',
  'downstream_cx_destroy_local',
  'downstream_cx_destroy_remote',
  'downstream_cx_http1_total',
  'downstream_cx_http1_active',
  'downstream_cx_http2_total',
  'downstream_cx_http2_active',
  'downstream_cx_ssl_total',
  'downstream_cx_ssl_active',
  'downstream_cx_idle_timeout',
  'downstream_cx_max_duration_reached',
  'downstream_cx_drain_close',
  'downstream_cx_protocol_error',
  'downstream_rq_total',
  'downstream_rq_active',
  'downstream_rq_http1_total',
  'downstream_rq_http2_total',
  'downstream_rq_completed',
  'downstream_rq_1xx',
  'downstream_rq_2xx',
  'downstream_rq_3xx',
  'downstream_rq_4xx',
  'downstream_rq_5xx',
  'downstream_rq_idle_timeout',
  'downstream_rq_header_timeout',
  'downstream_rq_max_duration_reached',
  'downstream_rq_failed_path_normalization',
  'downstream_rq_redirected_with_normalized_path',
  'downstream_rq_response_before_rq_complete',
  'downstream_rq_overload_close',
  'downstream_cx_overload_disable_keepalive',
  'downstream_rq_rx_reset',
  'downstream_rq_tx_reset',
  'no_route',
  'no_cluster',
  'rq_total',
  'rq_direct_response',
  'rq_reset_after_downstream_response_started',
  'tracing.random_sampling',
  'tracing.service_forced',
  'tracing.client_enabled',
  'tracing.not_traceable',
  'tracing.health_check',
] as const

/** `listener.<address>_<port>.` */
export const LISTENER_NAMES = [
  'downstream_cx_total',
  'downstream_cx_active',
  'downstream_cx_destroy',
  'downstream_cx_overflow',
  'downstream_cx_overload_reject',
  'downstream_global_cx_overflow',
  'no_filter_chain_match',
  'ssl.handshake',
  'ssl.connection_error',
  'ssl.fail_verify_san',
] as const

/** `cluster.<name>.` */
export const CLUSTER_NAMES = [
  'upstream_cx_total',
  'upstream_cx_active',
  'upstream_cx_http1_total',
  'upstream_cx_http2_total',
  'upstream_cx_connect_fail',
  'upstream_cx_connect_timeout',
  'upstream_cx_destroy',
  'upstream_cx_destroy_local',
  'upstream_cx_destroy_remote',
  'upstream_cx_idle_timeout',
  'upstream_cx_max_duration_reached',
  'upstream_cx_max_requests',
  'upstream_cx_none_healthy',
  'upstream_cx_overflow',
  'upstream_cx_protocol_error',
  'upstream_rq_total',
  'upstream_rq_active',
  'upstream_rq_completed',
  'upstream_rq_pending_total',
  'upstream_rq_pending_overflow',
  'upstream_rq_pending_failure_eject',
  'upstream_rq_cancelled',
  'upstream_rq_timeout',
  'upstream_rq_max_duration_reached',
  'upstream_rq_per_try_timeout',
  'upstream_rq_rx_reset',
  'upstream_rq_tx_reset',
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_retry_overflow',
  'upstream_rq_retry_limit_exceeded',
  'upstream_rq_retry_backoff_exponential',
  'outlier_detection.ejections_overflow',
  'outlier_detection.ejections_enforced_total',
  'outlier_detection.ejections_enforced_consecutive_5xx',
  'outlier_detection.ejections_detected_consecutive_5xx',
  'outlier_detection.ejections_enforced_consecutive_gateway_failure',
  'outlier_detection.ejections_detected_consecutive_gateway_failure',
  'outlier_detection.ejections_enforced_consecutive_local_origin_failure',
  'outlier_detection.ejections_detected_consecutive_local_origin_failure',
  'outlier_detection.ejections_enforced_success_rate',
  'outlier_detection.ejections_detected_success_rate',
  'outlier_detection.ejections_enforced_local_origin_success_rate',
  'outlier_detection.ejections_detected_local_origin_success_rate',
  'outlier_detection.ejections_enforced_failure_percentage',
  'outlier_detection.ejections_detected_failure_percentage',
  'outlier_detection.ejections_enforced_local_origin_failure_percentage',
  'outlier_detection.ejections_detected_local_origin_failure_percentage',
  'health_check.attempt',
  'health_check.success',
  'health_check.failure',
  'health_check.network_failure',
] as const

/** `tcp.<stat_prefix>.` */
export const TCP_NAMES = [
  'downstream_cx_total',
  'downstream_cx_no_route',
  'downstream_cx_rx_bytes_total',
  'downstream_cx_tx_bytes_total',
  'idle_timeout',
  'max_downstream_connection_duration',
] as const

/** What goes down again. */
const GAUGE = /(^|[._])(active|open|membership_[a-z]+|ejections_active)$|health_check\.(healthy|degraded)$/
const GAUGES_ELSEWHERE = /^(server|listener_manager\.total|cluster_manager\.(active|warming)|runtime\.num|overload\.)/

export const isGauge = (name: string): boolean =>
  GAUGE.test(name) || GAUGES_ELSEWHERE.test(name) || name.endsWith('.control_plane.connected_state')

export type Counters<N extends string> = { [K in N]: number }

/** All zero, and of one shape per list. */
export function zeroes<N extends string>(names: readonly N[]): Counters<N> {
  const counters: Partial<Counters<N>> = {}
  for (const name of names) counters[name] = 0
  return counters as Counters<N>
}
