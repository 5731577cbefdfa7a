/**
 * Where we differ from Envoy on purpose: at most 15, none in routing, policy or the attacks of docs/security.md. Each
 * says why and shows both sides; a case that is listed and does not differ fails as well.
 *
 * Difference 1 stands in normal.ts, since it is in every answer that a proxy gives itself: the text of our refusals.
 */
export interface Difference {
  readonly case: string
  readonly reason: string
  readonly envoy: string
  readonly ours: string
}

export const KNOWN_DIFFERENCES: readonly Difference[] = [
  {
    case: 'protocol: informational answers of the origin',
    reason: 'RFC 9110 15.2: a proxy forwards 1xx it did not ask for; browsers load early hints sooner.',
    envoy: 'HTTP/1.1 200 OK',
    ours: 'HTTP/1.1 103 Early Hints, then HTTP/1.1 200 OK',
  },
]
