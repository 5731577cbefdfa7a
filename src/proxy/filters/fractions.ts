/** Shares of requests, drawn with the injected generator. */
import type { Fraction } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'

/** Whole and empty shares draw nothing, so they do not disturb what a seed replays. */
export function hits({ numerator, denominator }: Fraction, random: Random): boolean {
  if (numerator >= denominator) return true
  return numerator > 0 && Math.floor(random.next() * denominator) < numerator
}
