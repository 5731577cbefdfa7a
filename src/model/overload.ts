/**
 * What a proxy does when a resource of its own runs short: Envoy's overload manager, the part that can be done here.
 * Pressure is the share of a limit that is in use; an action is active to a degree from 0 to 1.
 */
export type OverloadAction =
  /** Requests are answered 503 with flag OM. */
  | 'stop_accepting_requests'
  /** Each answer is the last of its connection. */
  | 'disable_http_keepalive'
  /** Connections are closed as they come. */
  | 'reject_incoming_connections'
  /** The heap is collected thoroughly, at most every ten seconds. */
  | 'shrink_heap'

export const OVERLOAD_ACTIONS = [
  'stop_accepting_requests',
  'disable_http_keepalive',
  'reject_incoming_connections',
  'shrink_heap',
] as const satisfies readonly OverloadAction[]

export interface OverloadTrigger {
  readonly resource: 'memory'
  /** Not active below `from`, wholly from `to` on, and in between as far as it is between the two. */
  readonly from: number
  readonly to: number
}

export interface OverloadConfig {
  /** How often pressure is looked at. */
  readonly refreshMs: number
  /** Resident memory that counts as all; absent: not watched. */
  readonly memoryBytesMax?: number
  /** Connections of clients, over all listeners. */
  readonly connectionsMax?: number
  readonly actions: readonly { readonly action: OverloadAction; readonly triggers: readonly OverloadTrigger[] }[]
}

/** As active as its most pressing trigger. */
export function actionDegree(triggers: readonly OverloadTrigger[], pressure: number): number {
  let degree = 0
  for (const { from, to } of triggers) degree = Math.max(degree, triggerDegree(from, to, pressure))
  return degree
}

function triggerDegree(from: number, to: number, pressure: number): number {
  if (pressure >= to) return 1
  return pressure <= from ? 0 : (pressure - from) / (to - from)
}

/**
 * For a proxy that knows how much memory it may have: first the heap is tidied, then connections are let go, then a
 * growing share of requests is refused; a proxy that is killed for its memory would fail all of them.
 */
export function meshOverload(memoryBytesMax: number): OverloadConfig {
  const at = (action: OverloadAction, from: number, to: number): OverloadConfig['actions'][number] => ({
    action,
    triggers: [{ resource: 'memory', from, to }],
  })
  return {
    refreshMs: 1_000,
    memoryBytesMax,
    actions: [
      at('shrink_heap', 0.85, 0.85),
      at('disable_http_keepalive', 0.9, 0.9),
      at('stop_accepting_requests', 0.92, 0.98),
      at('reject_incoming_connections', 0.98, 0.98),
    ],
  }
}
