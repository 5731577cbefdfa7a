/** Envoy's outcomes of one file of cases, as they were seen last: `recorded/<area>.json`. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Case } from './case.ts'
import type { Result } from './contest.ts'

const DIRECTORY = join(import.meta.dirname, 'recorded')

export class Record {
  readonly #path: string
  readonly #results: Map<string, Result>

  constructor(area: string) {
    this.#path = join(DIRECTORY, `${area}.json`)
    this.#results = new Map(Object.entries(read(this.#path)))
  }

  of({ name }: Case): Result {
    const result = this.#results.get(name)
    if (result === undefined)
      throw new Error(`${this.#path} has no "${name}": record it with Envoy and UPDATE_GOLDEN=1`)
    return result
  }

  put({ name }: Case, result: Result): void {
    this.#results.set(name, result)
    mkdirSync(DIRECTORY, { recursive: true })
    const sorted = Object.fromEntries([...this.#results].toSorted(([one], [other]) => (one < other ? -1 : 1)))
    writeFileSync(this.#path, `${linewise(sorted)}\n`)
  }
}

/** A header field on one line, so that a person can read a difference. */
function linewise(value: object): string {
  return JSON.stringify(value, null, 1).replaceAll(/\[\n\s+("[^\n]*"),\n\s+("[^\n]*")\n\s+\]/g, '[$1, $2]')
}

function read(path: string): { readonly [name: string]: Result } {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { readonly [name: string]: Result }
  } catch {
    return {}
  }
}
