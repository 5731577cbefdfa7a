/** What a worker writes, passed on line by line: in one pipe the parts of several writers' lines would mix. */
const NEWLINE = 0x0a
/** A longer line is passed on in parts. */
const HELD_BYTES_MAX = 1024 * 1024

/** Until the worker is gone. */
export function passLines(output: NodeJS.ReadableStream | null, write: (lines: Buffer) => void): void {
  const lines = new Lines(write)
  output?.on('data', (chunk: Buffer) => lines.take(chunk))
  output?.on('end', () => lines.pass())
}

class Lines {
  readonly #write: (lines: Buffer) => void
  #held: Buffer[] = []
  #heldBytes = 0

  constructor(write: (lines: Buffer) => void) {
    this.#write = write
  }

  take(chunk: Buffer): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end > 0) {
      this.#held.push(chunk.subarray(0, end))
      this.pass()
    }
    if (end === chunk.length) return
    this.#held.push(chunk.subarray(end))
    this.#heldBytes += chunk.length - end
    if (this.#heldBytes > HELD_BYTES_MAX) this.pass()
  }

  pass(): void {
    for (const part of this.#held) this.#write(part)
    this.#held = []
    this.#heldBytes = 0
  }
}
