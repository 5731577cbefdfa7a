/** Where a stream's events go until the core hangs its own sink on it. */
import type { RequestSink } from '../stream.ts'

export const NO_REQUEST_SINK: RequestSink = {
  onRequestData: () => {},
  onRequestEnd: () => {},
  onRequestReset: () => {},
  onResponseDrain: () => {},
}
