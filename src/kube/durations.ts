/** Durations: as the Gateway API writes them (GEP-2257: `1m30s`), and as Istio's objects do (`1.5s` too). */
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 }

/** Milliseconds of a Gateway API duration; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  return /^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text) ? sumOf(text) : undefined
}

/**
 * Milliseconds of one of Istio's: protobuf's JSON and Go's form (`250ms`, `1h30m`); undefined for anything else. Not
 * rounded: who needs whole milliseconds says which way.
 */
export function istioDurationMs(text: string): number | undefined {
  if (!/^-?([0-9]{1,9}(\.[0-9]{1,9})?(h|m|s|ms|us|ns)){1,4}$/.test(text)) return undefined
  return text.startsWith('-') ? -sumOf(text) : sumOf(text)
}

function sumOf(text: string): number {
  let ms = 0
  for (const [, count, unit] of text.matchAll(/([0-9.]+)(h|ms|m|s|us|ns)/g)) {
    ms += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  }
  return ms
}
