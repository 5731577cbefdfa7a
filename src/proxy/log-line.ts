/**
 * Pieces of a JSON line written by hand: a line of access log per request is a large part of what a request costs, and
 * JSON.stringify walks an object that was made only for it. Pure but for what `IsoTime` remembers.
 */

// eslint-disable-next-line no-control-regex -- what JSON has to escape, and what is safer escaped
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** `text` as a JSON string. */
export const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

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
