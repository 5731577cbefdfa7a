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

export const KNOWN_DIFFERENCES: readonly Difference[] = []
