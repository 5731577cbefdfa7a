/** The time as a `date` field has it (RFC 9110 5.6.7), written once a second. */
export class HttpDate {
  #second = -1
  #text = ''

  text(nowMs: number): string {
    const second = Math.floor(nowMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#text = new Date(second * 1_000).toUTCString()
    }
    return this.#text
  }
}
