/**
 * Dynamic metadata of one request, as Envoy has it: JSON under a namespace per filter (a token's claims, what an
 * authorizer said). Policies, rate limits and the access log read it. Born with the first entry.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

export class RequestMetadata {
  readonly #namespaces = new Map<string, Record<string, Json>>()

  /** Replaces what the namespace had under `key`. */
  set(namespace: string, key: string, value: Json): void {
    let fields = this.#namespaces.get(namespace)
    if (fields === undefined) {
      // Keys are the outside's to choose.
      fields = Object.create(null) as Record<string, Json>
      this.#namespaces.set(namespace, fields)
    }
    fields[key] = value
  }

  /** Undefined: nothing there. A path leads through objects only. */
  get(namespace: string, path: readonly string[]): Json | undefined {
    let value: Json | undefined = this.#namespaces.get(namespace)
    for (const key of path) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
      const fields = value as Readonly<Record<string, Json>>
      if (!Object.hasOwn(fields, key)) return undefined
      value = fields[key]
    }
    return value
  }

  namespaces(): IterableIterator<string> {
    return this.#namespaces.keys()
  }
}
