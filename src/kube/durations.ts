/** Durations as the Gateway API writes them (GEP-2257): `1h`, `10s`, `1m30s`, `250ms`. Istio's are protobuf's, not these. */
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }

/** Milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(/([0-9]+)(h|ms|m|s)/g)) ms += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  return ms
}
