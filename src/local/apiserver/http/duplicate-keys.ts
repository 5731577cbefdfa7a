/**
 * Finds keys that occur twice in one JSON object. Runs over text that JSON.parse has already accepted, so it need not
 * report syntax errors; it only keeps track of where it is.
 */
interface Frame {
  readonly keys: Set<string> | undefined // undefined: an array
  readonly path: string
  index: number
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],]/g

/** Paths as Go's decoder reports them, e.g. `spec.ports[0].name`. */
export function duplicateKeys(source: string): string[] {
  const tracker = new Tracker()
  for (const [token] of source.matchAll(TOKEN)) tracker.take(token)
  return tracker.duplicates
}

class Tracker {
  readonly duplicates: string[] = []
  readonly #stack: Frame[] = []
  #key = ''
  #expectsKey = false

  take(token: string): void {
    switch (token) {
      case '{':
      case '[':
        return this.#enter(token === '{')
      case '}':
      case ']':
        this.#stack.pop()
        this.#expectsKey = false
        return
      case ',':
        return this.#nextItem()
      default:
        if (this.#expectsKey) this.#takeKey(JSON.parse(token) as string)
    }
  }

  #enter(isObject: boolean): void {
    this.#stack.push({ keys: isObject ? new Set() : undefined, path: this.#pathBelow(), index: 0 })
    this.#expectsKey = isObject
  }

  #nextItem(): void {
    const top = this.#stack.at(-1)
    if (top === undefined) return
    top.index += 1
    this.#expectsKey = top.keys !== undefined
  }

  #takeKey(key: string): void {
    const top = this.#stack.at(-1)
    if (top?.keys?.has(key) === true) this.duplicates.push(top.path === '' ? key : `${top.path}.${key}`)
    top?.keys?.add(key)
    this.#key = key
    this.#expectsKey = false
  }

  #pathBelow(): string {
    const parent = this.#stack.at(-1)
    if (parent === undefined) return ''
    if (parent.keys === undefined) return `${parent.path}[${parent.index}]`
    return parent.path === '' ? this.#key : `${parent.path}.${this.#key}`
  }
}
