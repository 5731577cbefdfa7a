/** Readiness as named, owned tokens: the log and the endpoint say what is still awaited. */
export class Readiness {
  readonly #awaited = new Set<string>()

  /** The returned function marks the part ready; until then `ready` is false and `awaited` names it. */
  register(part: string): () => void {
    this.#awaited.add(part)
    return () => this.#awaited.delete(part)
  }

  get ready(): boolean {
    return this.#awaited.size === 0
  }

  get awaited(): readonly string[] {
    return [...this.#awaited]
  }
}
