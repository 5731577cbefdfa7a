/** Kubernetes Events for what an operator must not miss; best effort, bounded, never in the way of the work itself. */
import { EVENTS, type Event } from '../src/kube/kinds.ts'
import { wholeSeconds } from '../src/kube/times.ts'
import { SYSTEM_NAMESPACE } from '../src/model/names.ts'
import type { Clock } from '../src/runtime/clock.ts'
import type { Log } from '../src/runtime/log.ts'
import { messageOf } from '../src/runtime/errors.ts'
import type { FencedWriter } from './fence.ts'

export interface Notice {
  readonly type: 'Normal' | 'Warning'
  /** Catalogue code, or a word. */
  readonly reason: string
  readonly message: string
  readonly about: {
    readonly apiVersion: string
    readonly kind: string
    readonly name: string
    readonly namespace?: string
  }
}

export interface Recorder {
  record(notice: Notice): void
}

const PER_MINUTE_MAX = 30
const MINUTE_MS = 60_000
const MESSAGE_CHARS_MAX = 1_024 // the API server's limit

/** Also the audit log: every notice is logged, whether or not an Event could be written. */
export function eventRecorder(options: { writer: FencedWriter; clock: Clock; log: Log }): Recorder {
  const { writer, clock, log } = options
  let windowStart = -Infinity
  let inWindow = 0
  return {
    record(notice) {
      log[notice.type === 'Warning' ? 'warn' : 'info']({ audit: true, ...notice }, notice.message)
      const now = clock.monotonic()
      if (now - windowStart > MINUTE_MS) {
        windowStart = now
        inWindow = 0
      }
      if (++inWindow > PER_MINUTE_MAX || !writer.held) return
      writer.create(EVENTS, eventOf(notice, clock.now())).catch((error: unknown) => {
        log.info({ reason: messageOf(error) }, 'event not written')
      })
    },
  }
}

function eventOf(notice: Notice, nowMs: number): Event {
  const { name, namespace } = notice.about
  const at = wholeSeconds(nowMs)
  return {
    apiVersion: 'v1',
    kind: 'Event',
    // Events of cluster-scoped objects live in `default`, or in the namespace of whoever reports them.
    metadata: { generateName: `${name}.`, namespace: namespace ?? SYSTEM_NAMESPACE },
    involvedObject: { ...notice.about, namespace: namespace ?? SYSTEM_NAMESPACE },
    reason: notice.reason,
    message: notice.message.slice(0, MESSAGE_CHARS_MAX),
    type: notice.type,
    count: 1,
    firstTimestamp: at,
    lastTimestamp: at,
    source: { component: 'isthmus-federation' },
  }
}
