/**
 * Pieces of a JSON line written by hand: a line of access log per request is a large part of what a request costs, and
 * JSON.stringify walks an object that was made only for it. Pure but for what `IsoTime` remembers.
 */

// eslint-disable-next-line no-control-regex -- what JSON has to escape, and what is safer escaped
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** `text` as a JSON string. */
export const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

/** Two decimals; integers become text faster than fractions do. */
export function hundredths(value: number): string {
  if (!(value >= 0 && value < 1e12)) return '0'
  const count = Math.round(value * 100)
  const rest = count % 100
  return `${(count - rest) / 100}.${rest < 10 ? '0' : ''}${rest}`
}

/** ISO 8601 in UTC; the part down to the second is made once per second. */
export class IsoTime {
  #second = Number.NaN
  #prefix = ''

  text(epochMs: number): string {
    const whole = Math.floor(epochMs)
    const second = Math.floor(whole / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#prefix = new Date(second * 1_000).toISOString().slice(0, 20)
    }
    const ms = whole - second * 1_000
    return `${this.#prefix}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
  }
}
