/**
 * Where access logs end: a file that is appended to, or one of the process's own streams. Writing never blocks and
 * never grows without bound: what a disk cannot take in time is dropped and counted.
 */
import { createWriteStream, type WriteStream } from 'node:fs'

/** Lines that wait for the disk; beyond this they are lost. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024

export type Destination = { readonly kind: 'stdout' | 'stderr' } | { readonly kind: 'file'; readonly path: string }

export class TextTarget {
  /** Writes that were lost. */
  dropped = 0
  readonly #destination: Destination
  readonly #onError: (error: Error) => void
  #stream: WriteStream | NodeJS.WriteStream

  /** `onError` hears of each failure of a file; lines go on being dropped until it is opened again. */
  constructor(destination: Destination, onError: (error: Error) => void) {
    this.#destination = destination
    this.#onError = onError
    this.#stream = this.#open()
  }

  write(text: string): void {
    if (this.#stream.destroyed || this.#stream.writableLength > WAITING_BYTES_MAX) this.dropped++
    else this.#stream.write(text)
  }

  reopen(): void {
    if (this.#destination.kind !== 'file') return
    this.#stream.end()
    this.#stream = this.#open()
  }

  close(): void {
    if (this.#destination.kind === 'file') this.#stream.end()
  }

  #open(): WriteStream | NodeJS.WriteStream {
    const destination = this.#destination
    if (destination.kind !== 'file') return destination.kind === 'stdout' ? process.stdout : process.stderr
    const stream = createWriteStream(destination.path, { flags: 'a', mode: 0o644 })
    stream.on('error', this.#onError)
    return stream
  }
}
