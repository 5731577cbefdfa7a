/** Durations as Istio's objects write them: protobuf's JSON (`1.5s`) and Go's (`250ms`, `1h30m`). */
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 }
const FORM = /^-?([0-9]{1,9}(\.[0-9]{1,9})?(h|m|s|ms|us|ns)){1,4}$/

/** Undefined for anything else. Not rounded: who needs whole milliseconds says which way. */
export function istioDurationMs(text: string): number | undefined {
  if (text.length > 64 || !FORM.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(/([0-9.]+)(h|ms|m|s|us|ns)/g)) {
    ms += Number(count) * (UNITS_MS[unit ?? ''] ?? 0)
  }
  return text.startsWith('-') ? -ms : ms
}
