/**
 * Which requests are traced: Envoy's decision by the request's id, which every hop makes alike because the first eight
 * digits are its chance, and which the id then carries: the digit that says a UUID's version tells later hops.
 */
import type { Random } from '../../runtime/random.ts'
import { type HeaderList, headerOf, setHeader } from '../message.ts'

export type Reason = 'not-traceable' | 'sampling' | 'service-forced' | 'client-forced'

/** The fifteenth character of a UUID. */
const PLACE = 14
const DIGITS: Readonly<Record<Reason, string>> = {
  'not-traceable': '4',
  sampling: '9',
  'service-forced': 'a',
  'client-forced': 'b',
}
const REASONS = new Map(Object.entries(DIGITS).map(([reason, digit]) => [digit, reason as Reason]))
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/
/** Percentages have two decimals. */
const PARTS = 10_000

/** Percent of 100. */
export interface Shares {
  readonly client: number
  readonly random: number
  readonly overall: number
}

export function decide(headers: HeaderList, shares: Shares, random: Random): Reason {
  const id = headerOf(headers, 'x-request-id')
  const isUuid = id !== undefined && UUID.test(id)
  // An id of someone's own making carries no decision, and its chance is ours.
  const chance = isUuid ? Number.parseInt(id.slice(0, 8), 16) % PARTS : Math.floor(random.next() * PARTS)
  const told = isUuid ? REASONS.get(id[PLACE] ?? '') : undefined
  let reason = told ?? 'not-traceable'
  if (reason === 'not-traceable') reason = fresh(headers, shares, { chance, random })
  if (reason !== 'not-traceable' && chance >= partsOf(shares.overall)) reason = 'not-traceable'
  if (isUuid && told !== reason) {
    setHeader(headers, 'x-request-id', id.slice(0, PLACE) + DIGITS[reason] + id.slice(PLACE + 1))
  }
  return reason
}

function fresh(headers: HeaderList, shares: Shares, { chance, random }: { chance: number; random: Random }): Reason {
  if (headerOf(headers, 'x-client-trace-id') !== undefined && random.next() * PARTS < partsOf(shares.client)) {
    return 'client-forced'
  }
  if (headerOf(headers, 'x-envoy-force-trace') !== undefined) return 'service-forced'
  return chance < partsOf(shares.random) ? 'sampling' : 'not-traceable'
}

const partsOf = (percent: number): number => Math.floor(percent * 100)
