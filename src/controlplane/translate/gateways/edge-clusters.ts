/**
 * Which clusters a gateway needs: those that its listeners and tables name anywhere, in routes, copies of requests,
 * token issuers or collectors. A gateway runs them and no others, whatever its namespace may see. Pure.
 */

/** Every text in plain data. */
export function textsOf(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (typeof value === 'string') found.add(value)
  else if (Array.isArray(value)) for (const one of value) textsOf(one, found)
  else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const one of Object.values(value)) textsOf(one, found)
  }
  return found
}
