/** Parts of filters that outlive a configuration: asked for by key while one is compiled, closed when none asked. */
import type { Kept } from './filters/kind.ts'

export class KeptParts {
  readonly #parts = new Map<string, Kept>()
  #asked = new Set<string>()

  begin(): void {
    this.#asked = new Set()
  }

  keep<Part extends Kept>(key: string, make: () => Part): Part {
    this.#asked.add(key)
    const known = this.#parts.get(key) as Part | undefined
    if (known !== undefined) return known
    const part = make()
    this.#parts.set(key, part)
    return part
  }

  /** Only when everything was compiled since `begin`. */
  sweep(): void {
    for (const [key, part] of this.#parts) {
      if (this.#asked.has(key)) continue
      this.#parts.delete(key)
      part.close()
    }
  }

  close(): void {
    for (const part of this.#parts.values()) part.close()
    this.#parts.clear()
  }
}
