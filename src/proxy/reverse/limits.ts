/** What a generic listener's settings mean for the limits of its codecs. */
import type { HttpSettings } from '../../model/config.ts'
import { H1_LIMITS, type H1Limits } from '../h1/types.ts'
import { H2_LIMITS, type H2Limits } from '../h2/types.ts'

/** Far beyond any timer's use, and within what a timer takes. */
const NEVER_MS = 2_000_000_000

/** A stream's own idle limit is the exchange's to keep; the codec's stays as a last resort, never before it. */
const streamIdleOf = ({ streamIdleMs }: HttpSettings, usual: number): number =>
  streamIdleMs === undefined || (streamIdleMs > 0 && streamIdleMs < usual) ? usual : 0

export function h1LimitsOf(settings: HttpSettings): H1Limits {
  const { headersMax, headBytesMax, requestHeadMs, idleMs } = settings
  return {
    ...H1_LIMITS,
    headersMax: headersMax ?? H1_LIMITS.headersMax,
    headBytesMax: headBytesMax ?? H1_LIMITS.headBytesMax,
    headTimeoutMs: requestHeadMs === undefined ? H1_LIMITS.headTimeoutMs : requestHeadMs || NEVER_MS,
    idleTimeoutMs: idleMs ?? H1_LIMITS.idleTimeoutMs,
    streamIdleTimeoutMs: streamIdleOf(settings, H1_LIMITS.streamIdleTimeoutMs),
  }
}

export function h2LimitsOf(settings: HttpSettings): H2Limits {
  const { headersMax, headBytesMax, idleMs, streamsMax, streamWindowBytes, connectionWindowBytes } = settings
  return {
    ...H2_LIMITS,
    streamsMax: streamsMax ?? H2_LIMITS.streamsMax,
    streamWindowBytes: streamWindowBytes ?? H2_LIMITS.streamWindowBytes,
    streamWindowMaxBytes: streamWindowBytes ?? H2_LIMITS.streamWindowMaxBytes,
    connectionWindowBytes: connectionWindowBytes ?? H2_LIMITS.connectionWindowBytes,
    headersMax: headersMax ?? H2_LIMITS.headersMax,
    headerListBytesMax: headBytesMax ?? H2_LIMITS.headerListBytesMax,
    idleTimeoutMs: idleMs ?? H2_LIMITS.idleTimeoutMs,
    streamIdleTimeoutMs: streamIdleOf(settings, H2_LIMITS.streamIdleTimeoutMs),
  }
}
