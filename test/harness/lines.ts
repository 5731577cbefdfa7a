/** Lines as they come, from a process or a log, to be waited for one after another. */
export class Lines {
  readonly #seen: string[] = []
  #rest = ''
  #waiting: { readonly matches: (line: string) => boolean; readonly resolve: (line: string) => void }[] = []

  push(chunk: string): void {
    this.#rest += chunk
    const lines = this.#rest.split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.add(line)
  }

  add(line: string): void {
    const index = this.#waiting.findIndex(({ matches }) => matches(line))
    const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (waiting === undefined) this.#seen.push(line)
    else waiting.resolve(line)
  }

  /** The first line that matches, past or future; each line is given out once. The test's own timeout bounds it. */
  next(matches: (line: string) => boolean): Promise<string> {
    const index = this.#seen.findIndex(matches)
    const [line] = index < 0 ? [] : this.#seen.splice(index, 1)
    if (line !== undefined) return Promise.resolve(line)
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }))
  }
}
