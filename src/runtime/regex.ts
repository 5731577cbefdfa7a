/**
 * Regular expressions from configuration: RE2's syntax in linear time, because routes come from tenants and a
 * backtracking engine would let one of them stop a proxy. Compiled when configuration is read, never per request.
 */
import { createRequire } from 'node:module'
import type { RE2JS } from 're2js'

export type Regex = RE2JS

/** Loaded with the first expression: the engine's tables cost 12 MiB, and most proxies have none to run. */
let engine: typeof RE2JS | undefined

/** Throws on what is not RE2 syntax. */
export function compileRegex(source: string): Regex {
  engine ??= (createRequire(import.meta.url)('re2js') as { RE2JS: typeof RE2JS }).RE2JS
  return engine.compile(source)
}

/** Why `source` cannot be used; undefined when it can. */
export function regexFault(source: string): string | undefined {
  try {
    compileRegex(source)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
