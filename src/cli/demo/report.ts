/** The demo's verdict: figures in, report and reasons out. Pure; the terminal table and the JSON say the same. */
import { renderTable } from '../output.ts'
import { isFailed, type EventFigures, type Observation, type PhaseFigures } from './measure.ts'

export const LIMITS = {
  successRatioMin: 0.99,
  movedMsMax: 5_000,
  /** A fault on a target that served less proves nothing. */
  shareBeforeMin: 0.3,
  /** The target must serve again after the heal: this part of what it served before. */
  healedPartMin: 0.5,
  /** The proxy's counter against the client's count. */
  counterDifferenceMax: 0.01,
} as const

export interface DemoReport {
  readonly passed: boolean
  /** Why it did not pass; empty when it did. */
  readonly reasons: readonly string[]
  readonly requests: number
  readonly failed: number
  readonly successRatio: number
  readonly startSeconds: number
  readonly totalSeconds: number
  readonly events: readonly EventFigures[]
  /** phase -> service -> cluster -> share. */
  readonly shares: Readonly<Record<string, PhaseFigures['shares']>>
  readonly phases: readonly { readonly name: string; readonly requests: number; readonly failed: number }[]
  /** Requests as the client's own sidecar counted them. */
  readonly proxyRequests: number
  /** Requests to an API server that RBAC refused; the mesh's own must be none. */
  readonly forbidden: number
}

export interface ReportInput {
  readonly observations: readonly Observation[]
  readonly phases: readonly PhaseFigures[]
  readonly events: readonly EventFigures[]
  readonly proxyRequests: number
  readonly forbidden: number
  readonly requestsPerPhaseMin: number
  readonly startSeconds: number
  readonly totalSeconds: number
}

export function buildReport(input: ReportInput): DemoReport {
  const requests = input.observations.length
  const failed = input.observations.filter(isFailed).length
  const successRatio = requests === 0 ? 0 : (requests - failed) / requests
  const reasons = [
    ...ratioReasons({ requests, successRatio }),
    ...input.events.flatMap(eventReasons),
    ...phaseReasons(input),
    ...counterReasons(input, requests),
  ]
  return {
    passed: reasons.length === 0,
    reasons,
    requests,
    failed,
    successRatio,
    startSeconds: input.startSeconds,
    totalSeconds: input.totalSeconds,
    events: input.events,
    shares: Object.fromEntries(input.phases.map(({ name, shares }) => [name, shares])),
    phases: input.phases.map((phase) => ({ name: phase.name, requests: phase.requests, failed: phase.failed })),
    proxyRequests: input.proxyRequests,
    forbidden: input.forbidden,
  }
}

function ratioReasons({ requests, successRatio }: { requests: number; successRatio: number }): string[] {
  if (requests === 0) return ['no request was sent']
  return successRatio < LIMITS.successRatioMin
    ? [`success ratio ${successRatio.toFixed(4)} is under ${LIMITS.successRatioMin}`]
    : []
}

function eventReasons(event: EventFigures): string[] {
  const reasons: string[] = []
  if (event.shareBefore < LIMITS.shareBeforeMin) {
    reasons.push(
      `${event.event}: the target served only ${percent(event.shareBefore)} of ${event.service} before the fault`,
    )
  }
  if (event.movedMs > LIMITS.movedMsMax)
    reasons.push(`${event.event}: traffic took ${event.movedMs} ms to move, over ${LIMITS.movedMsMax} ms`)
  if (event.shareHealed < event.shareBefore * LIMITS.healedPartMin) {
    reasons.push(
      `${event.event}: after the heal the target serves ${percent(event.shareHealed)} of ${event.service}, not again about ${percent(event.shareBefore)}`,
    )
  }
  return reasons
}

function phaseReasons({ phases, requestsPerPhaseMin }: ReportInput): string[] {
  return phases
    .filter(({ requests }) => requests < requestsPerPhaseMin)
    .map(({ name, requests }) => `phase ${name} has ${requests} requests, under ${requestsPerPhaseMin}`)
}

function counterReasons({ proxyRequests, forbidden }: ReportInput, requests: number): string[] {
  const reasons: string[] = []
  if (Math.abs(proxyRequests - requests) > requests * LIMITS.counterDifferenceMax) {
    reasons.push(
      `the client's sidecar counted ${proxyRequests} requests, the client ${requests}: more than ${percent(LIMITS.counterDifferenceMax)} apart`,
    )
  }
  if (forbidden > 0) reasons.push(`${forbidden} requests of the mesh to an API server were refused by RBAC`)
  return reasons
}

export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

export function reportText(report: DemoReport): string {
  const events = report.events.map((event) => [
    event.event,
    event.service,
    percent(event.shareBefore),
    `${event.movedMs} ms`,
    String(event.failedRequests),
    `${event.longestMs} ms`,
    percent(event.shareHealed),
  ])
  const phases = report.phases.map((phase) => [
    phase.name,
    String(phase.requests),
    String(phase.failed),
    sharesText(report.shares[phase.name] ?? {}),
  ])
  const lines = [
    renderTable([['PHASE', 'REQUESTS', 'FAILED', 'WHO ANSWERED'], ...phases]),
    '',
    renderTable([['EVENT', 'SERVICE', 'SHARE BEFORE', 'MOVED IN', 'FAILED', 'LONGEST', 'SHARE HEALED'], ...events]),
    '',
    `${report.requests} requests, ${report.failed} failed, success ratio ${report.successRatio.toFixed(5)}; the sidecar counted ${report.proxyRequests}`,
    `clusters ready after ${report.startSeconds.toFixed(1)} s, whole run ${report.totalSeconds.toFixed(1)} s`,
    report.passed ? 'PASSED' : `FAILED\n${report.reasons.map((reason) => `  - ${reason}`).join('\n')}`,
  ]
  return lines.join('\n')
}

export function sharesText(shares: PhaseFigures['shares']): string {
  return Object.entries(shares)
    .map(([service, byCluster]) => {
      const parts = Object.entries(byCluster).sort(([, left], [, right]) => right - left)
      return `${service}: ${parts.map(([cluster, share]) => `${cluster} ${Math.round(share * 100)} %`).join(', ')}`
    })
    .join('   ')
}
