/**
 * How much of an object is ever looked at. Rules run where requests are served, so an object that would keep the event
 * loop busy for long is refused before anything walks it; what people write is a hundredth of this.
 */
import { error, type Flaw } from './finding.ts'

/** Fields and list elements together; the largest that are in use (generated route tables) have some thousands. */
const VALUES_MAX = 50_000
const DEPTH_MAX = 64
const TEXT_CHARS_MAX = 1_048_576

export function sizeFlaw(object: object): Flaw | undefined {
  let values = 0
  let chars = 0
  // A stack of its own: recursion would end in a RangeError on what is nested deepest.
  const pending: { readonly value: unknown; readonly depth: number }[] = [{ value: object, depth: 0 }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { value, depth } = next
    values += 1
    if (typeof value === 'string') chars += value.length
    if (values > VALUES_MAX) return tooLarge(`has more than ${VALUES_MAX} values`)
    if (chars > TEXT_CHARS_MAX) return tooLarge(`has more than ${TEXT_CHARS_MAX} characters`)
    if (typeof value !== 'object' || value === null) continue
    if (depth >= DEPTH_MAX) return tooLarge(`is nested more than ${DEPTH_MAX} levels deep`)
    // Pushing a list of millions is work of its own.
    const inner = Array.isArray(value) ? value : Object.values(value)
    if (values + pending.length + inner.length > VALUES_MAX) return tooLarge(`has more than ${VALUES_MAX} values`)
    for (const one of inner) pending.push({ value: one, depth: depth + 1 })
  }
  return undefined
}

const tooLarge = (message: string): Flaw => error({ code: 'OBJECT_TOO_LARGE', field: '', message })
