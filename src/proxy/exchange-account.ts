/**
 * What a finished request adds to its connection manager's and its cluster's counters. One look at the outcome at the
 * end, so that the way there holds no bookkeeping of it; what an attempt counts by itself is exchange-attempts.ts's.
 */
import type { Ends, Outcome } from './exchange-record.ts'
import type { HttpStats } from './stats/scopes.ts'

export function account(
  stats: HttpStats,
  outcome: Outcome,
  { attempts, stream }: Pick<Ends, 'attempts' | 'stream'>,
  durationMs: number,
): void {
  const { cluster } = attempts
  stats.ended(outcome.status, durationMs)
  if (outcome.direct) stats.counters.rq_direct_response++
  if (outcome.status > 0 && !stream.headOnly && !outcome.isComplete) {
    stats.counters.downstream_rq_response_before_rq_complete++
  }
  if (cluster !== undefined) {
    stats.counters.rq_total++
    const { counters } = cluster.stats
    // The last one only; an answer of ours in the endpoints' stead counts as the cluster's.
    if (outcome.status > 0) cluster.stats.answered(outcome.status)
    if (attempts.answered) cluster.stats.requestTime.add(durationMs - (outcome.completeAt - outcome.startedAt))
    if (attempts.succeededLater) counters.upstream_rq_retry_success++
    if (outcome.flag === 'UT') counters.upstream_rq_timeout++
  } else if (outcome.direct || outcome.flag === 'NR' || outcome.flag === 'NC') stats.counters.rq_total++
  if (outcome.flag !== '-') countFlag(stats, outcome)
}

function countFlag({ counters }: HttpStats, { flag, responded }: Outcome): void {
  switch (flag) {
    case 'NR':
      counters.no_route++
      break
    case 'NC':
      counters.no_cluster++
      break
    case 'SI':
      counters.downstream_rq_idle_timeout++
      break
    case 'DT':
      counters.downstream_rq_max_duration_reached++
      break
    case 'DC':
      counters.downstream_rq_rx_reset++
      break
    case 'UC':
      if (responded) counters.rq_reset_after_downstream_response_started++
      break
    default:
  }
}
