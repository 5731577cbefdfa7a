/** An exchange in the words of access logs, header values and spans: made only where something configured asks. */
import type { Attempts } from './exchange-attempts.ts'
import type { ExchangeServices } from './exchange-context.ts'
import type { Ends, Outcome } from './exchange-record.ts'
import type { ResponseFlag } from './record.ts'
import { type ConnectionFacts, hostPort, type StreamFacts, type UpstreamFacts } from './stream-facts.ts'

/** `durationMs` undefined: the exchange is still under way. */
export function exchangeFacts(
  { stream, downstream, attempts, route }: Pick<Ends, 'stream' | 'downstream' | 'attempts' | 'route'>,
  services: ExchangeServices,
  outcome: Outcome,
  durationMs: number | undefined,
): StreamFacts {
  const { startedAt } = outcome
  const passed = services.timers.now() - startedAt
  return {
    connection: connectionOf(downstream, outcome),
    request: stream.head,
    response: outcome.response,
    trailers: outcome.trailers,
    protocol: stream.version,
    startedAt: services.now() - passed,
    durationMs: durationMs ?? passed,
    requestMs: outcome.isComplete || stream.headOnly ? outcome.completeAt - startedAt : undefined,
    responseMs: outcome.responseAt === 0 ? undefined : outcome.responseAt - startedAt,
    status: outcome.status,
    flags: flagsOf(outcome, attempts),
    details: detailsOf(outcome, attempts),
    bytesReceived: outcome.bytesReceived,
    bytesSent: outcome.bytesSent,
    upstream: upstreamOf(attempts, outcome),
    routeName: route?.name ?? '',
    metadata: outcome.metadata,
    traceId: outcome.telemetry.tracer?.spanOf(stream.head)?.traceId ?? '',
    host: services.host,
  }
}

/** A client that trusted hops name has no port that anyone knows. */
function connectionOf(downstream: Ends['downstream'], { client }: Outcome): ConnectionFacts {
  const facts = downstream.facts()
  return client === undefined ? facts : { ...facts, remoteAddress: hostPort(client, 0) }
}

function upstreamOf(attempts: Attempts, outcome: Outcome): UpstreamFacts | undefined {
  const { cluster, destination, count, lastConnection } = attempts
  if (cluster === undefined) return undefined
  return {
    cluster: cluster.config.name,
    address: destination.address === '-' ? '' : destination.address,
    localAddress: lastConnection?.localAddress ?? '',
    attempts: Math.max(1, count),
    failure: outcome.flag === 'UF' ? failureOf(outcome) : '',
  }
}

/** Without the address, which has its own place. */
const failureOf = ({ detail }: Outcome): string => detail.slice(detail.indexOf(': ') + 2).replaceAll(' ', '_')

/** What Envoy has no letters for is no flag there: policies and refused messages tell themselves by details. */
const UNFLAGGED: ReadonlySet<ResponseFlag> = new Set(['RBAC', 'LR', '-'])

function flagsOf({ flag }: Outcome, { exhausted }: Attempts): string {
  if (UNFLAGGED.has(flag)) return exhausted ? 'URX' : '-'
  return exhausted ? `${flag},URX` : flag
}

const BEFORE = 'upstream_reset_before_response_started'
const AFTER = 'upstream_reset_after_response_started'

/** Envoy's texts for how an exchange ended. */
function detailsOf(outcome: Outcome, attempts: Attempts): string {
  const { flag, status, responded, direct } = outcome
  if (direct) return 'direct_response'
  const text = DETAILS[flag]
  if (flag === 'UF') return `${BEFORE}{remote_connection_failure|${failureOf(outcome)}}`
  if (flag === 'UC') return `${responded && attempts.answered ? AFTER : BEFORE}{connection_termination}`
  if (flag === 'LR') return status === 400 ? 'path_normalization_failed' : 'upgrade_failed'
  if (text !== undefined) return text
  return attempts.answered ? 'via_upstream' : ''
}

const DETAILS: Readonly<Partial<Record<ResponseFlag, string>>> = {
  NR: 'route_not_found',
  NC: 'cluster_not_found',
  UH: 'no_healthy_upstream',
  UO: `${BEFORE}{overflow}`,
  UPE: `${BEFORE}{protocol_error}`,
  UT: 'response_timeout',
  SI: 'stream_idle_timeout',
  DT: 'max_duration_timeout',
  DC: 'downstream_remote_disconnect',
  RBAC: 'rbac_access_denied_matched_policy[none]',
  RL: 'local_rate_limited',
  FI: 'fault_filter_abort',
}
