/** Events live an hour, as on real clusters (`--event-ttl`); a cluster that is kept running must not fill its disk. */
import type { Cancel, Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { keyOf, nameOf, text, type ApiObject } from './object.ts'
import { StoreFullError, type Store } from './store/store.ts'

const LIFETIME_MS = 3_600_000
const SWEEP_INTERVAL_MS = 60_000

export function expireEvents(store: Store, clock: Clock, log: Log): Cancel {
  return clock.every(SWEEP_INTERVAL_MS, () => {
    try {
      sweep(store, clock.now())
    } catch (error) {
      if (!(error instanceof StoreFullError)) throw error
      log.warn({ err: error }, 'old events could not be removed')
    }
  })
}

function sweep(store: Store, nowMs: number): void {
  for (const event of store.list('events'))
    if (lastSeenMs(event) < nowMs - LIFETIME_MS)
      store.remove('events', keyOf(event.metadata.namespace, nameOf(event)), event)
}

/** A repeated event is as young as its last repetition. */
function lastSeenMs(event: ApiObject): number {
  const times = [text(event, 'lastTimestamp'), text(event, 'eventTime'), event.metadata.creationTimestamp ?? '']
  return Math.max(...times.map((time) => Date.parse(time)).filter((time) => !Number.isNaN(time)))
}
