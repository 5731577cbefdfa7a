/**
 * Images are commands here: the product's own are built in, the user's own are named with `isthmus local image set`
 * and kept in the state directory. Nothing is ever downloaded.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface ImageCommand {
  readonly command: readonly string[]
  /** Where relative paths of the command start; absent: the pod's own directory. */
  readonly cwd?: string
}

/** Any registry and any tag: what runs is this checkout, whatever version the manifest names. */
const BUILT_IN: readonly { readonly pattern: RegExp; readonly entry: string }[] = [
  { pattern: /^(?:[^/]+\/)*isthmus\/isthmus(?:[:@].+)?$/, entry: '../../main' },
  { pattern: /^(?:[^/]+\/)*isthmus\/shop(?:[:@].+)?$/, entry: '../../../examples/shop/main' },
]

export class Images {
  readonly #path: string | undefined
  readonly #commands: Map<string, ImageCommand>
  readonly #listeners = new Set<() => void>()

  /** Without a path the table is in memory only. */
  constructor(path: string | undefined, given: Readonly<Record<string, ImageCommand>> = {}) {
    this.#path = path
    this.#commands = new Map([...load(path), ...Object.entries(given)])
  }

  resolve(image: string): ImageCommand | undefined {
    const own = this.#commands.get(image)
    if (own !== undefined) return own
    const builtIn = BUILT_IN.find(({ pattern }) => pattern.test(image))
    return builtIn === undefined ? undefined : { command: [process.execPath, entryFile(builtIn.entry)] }
  }

  set(image: string, command: ImageCommand): void {
    this.#commands.set(image, command)
    if (this.#path !== undefined) {
      writeFileSync(`${this.#path}.new`, `${JSON.stringify(Object.fromEntries(this.#commands), null, 2)}\n`)
      renameSync(`${this.#path}.new`, this.#path)
    }
    for (const listener of this.#listeners) listener()
  }

  /** Someone else wrote the file. */
  reload(): void {
    for (const [image, command] of load(this.#path)) this.#commands.set(image, command)
    for (const listener of this.#listeners) listener()
  }

  list(): Record<string, ImageCommand> {
    return Object.fromEntries(this.#commands)
  }

  /** Pods that wait for an image try again. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** What the event of an unknown image says: the way out, ready to paste. */
export function unknownImageMessage(image: string): string {
  return `no command is known for image "${image}"; name one with: isthmus local image set ${image} -- <command> [argument…]`
}

/** The product runs dist, tests run the sources: programs are started in the form that this one runs in. */
function entryFile(entry: string): string {
  const here = fileURLToPath(import.meta.url)
  return join(dirname(here), `${entry}${here.endsWith('.ts') ? '.ts' : '.js'}`)
}

function load(path: string | undefined): [string, ImageCommand][] {
  if (path === undefined) return []
  try {
    return Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, ImageCommand>)
  } catch {
    return []
  }
}
