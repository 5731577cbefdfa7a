/**
 * How much of an object is ever looked at. Rules run where requests are served, so an object that would keep the event
 * loop busy for long is refused before anything walks it; what people write is a hundredth of this.
 */
import { error, type Flaw } from './finding.ts'

/** Fields and list elements together; the largest that are in use (generated route tables) have some thousands. */
const VALUES_MAX = 30_000
const DEPTH_MAX = 64
const TEXT_CHARS_MAX = 1_048_576

export function sizeFlaw(object: object): Flaw | undefined {
  let values = 1
  let chars = 0
  // A stack of its own: recursion would end in a RangeError on what is nested deepest. Only containers go onto it.
  const pending: object[] = [object]
  const depths: number[] = [0]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const depth = depths.pop() ?? 0
    if (depth >= DEPTH_MAX) return tooLarge(`is nested more than ${DEPTH_MAX} levels deep`)
    const members: readonly unknown[] = Array.isArray(next) ? next : Object.values(next)
    values += members.length
    if (values > VALUES_MAX) return tooLarge(`has more than ${VALUES_MAX} values`)
    for (const member of members) {
      if (typeof member === 'string') chars += member.length
      else if (typeof member === 'object' && member !== null) {
        pending.push(member)
        depths.push(depth + 1)
      }
    }
    if (chars > TEXT_CHARS_MAX) return tooLarge(`has more than ${TEXT_CHARS_MAX} characters`)
  }
  return undefined
}

const tooLarge = (message: string): Flaw => error({ code: 'OBJECT_TOO_LARGE', field: '', message })
