/**
 * What a generic listener's settings mean for the HTTP/1.1 codec: Envoy's choices where the protocol leaves one, and
 * Envoy's look of the refusals that the codec makes itself.
 */
import { HEAD_LATE, HOST_MISSING } from '../h1/framing.ts'
import { REASONS } from '../h1/head-writer.ts'
import type { H1Behaviour } from '../h1/types.ts'
import type { ReverseHttp } from './reverse-http.ts'

const TEXTS: ReadonlyMap<string, string> = new Map([
  [HOST_MISSING, ''],
  [HEAD_LATE, 'request header timeout'],
])

export function behaviourOf(reverse: ReverseHttp, now: () => number): H1Behaviour {
  const { http10, proxyContinue, trailers } = reverse.settings
  return {
    expects: proxyContinue === true ? 'endpoint' : 'at-once',
    http10: http10 === true,
    trailers: trailers === true,
    refusal: (status, detail) => {
      // Envoy says nothing where it would have had to know the host.
      const text = TEXTS.get(detail) ?? REASONS[status] ?? ''
      const headers = text === '' ? [] : ['content-type', 'text/plain']
      const head = { status, headers, bodyLength: text.length }
      reverse.response(head, now())
      return { headers: head.headers, text }
    },
  }
}
