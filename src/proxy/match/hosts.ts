/**
 * Virtual hosts by domain in Envoy's order: exact, the longest `*suffix`, the longest `prefix*`, then `*`. Wildcards of
 * one length are one map access, so a table of a thousand domains costs what its different lengths cost.
 */

export interface HostTable<T> {
  readonly exact: ReadonlyMap<string, T>
  /** Longest first. */
  readonly suffixes: readonly WildcardsOfLength<T>[]
  readonly prefixes: readonly WildcardsOfLength<T>[]
  readonly rest: T | undefined
  readonly ignorePort: boolean
}

interface WildcardsOfLength<T> {
  readonly length: number
  readonly byText: Map<string, T>
}

export function compileHosts<T>(domains: Iterable<readonly [string, T]>, ignorePort: boolean): HostTable<T> {
  const exact = new Map<string, T>()
  const suffixes: WildcardsOfLength<T>[] = []
  const prefixes: WildcardsOfLength<T>[] = []
  let rest: T | undefined
  for (const [domain, host] of domains) {
    if (domain === '*') rest ??= host
    else if (domain.startsWith('*')) addWildcard(suffixes, domain.slice(1), host)
    else if (domain.endsWith('*')) addWildcard(prefixes, domain.slice(0, -1), host)
    // A domain belongs to one virtual host; the first keeps it.
    else if (!exact.has(domain)) exact.set(domain, host)
  }
  const longestFirst = (one: WildcardsOfLength<T>, other: WildcardsOfLength<T>): number => other.length - one.length
  return { exact, suffixes: suffixes.sort(longestFirst), prefixes: prefixes.sort(longestFirst), rest, ignorePort }
}

function addWildcard<T>(groups: WildcardsOfLength<T>[], text: string, host: T): void {
  let group = groups.find((candidate) => candidate.length === text.length)
  if (group === undefined) {
    group = { length: text.length, byText: new Map() }
    groups.push(group)
  }
  if (!group.byText.has(text)) group.byText.set(text, host)
}

/** `authority` as the codec gives it: lower case, with the port if the client wrote one. */
export function findByAuthority<T>(table: HostTable<T>, authority: string): T | undefined {
  const name = table.ignorePort ? withoutPort(authority) : authority
  const exact = table.exact.get(name)
  if (exact !== undefined) return exact
  for (const { length, byText } of table.suffixes) {
    // The wildcard stands for something: `*.a` does not match `.a`.
    const found = name.length > length ? byText.get(name.slice(name.length - length)) : undefined
    if (found !== undefined) return found
  }
  for (const { length, byText } of table.prefixes) {
    const found = name.length > length ? byText.get(name.slice(0, length)) : undefined
    if (found !== undefined) return found
  }
  return table.rest
}

export function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(':')
  // `[::1]` has colons and no port.
  return colon === -1 || authority.endsWith(']') ? authority : authority.slice(0, colon)
}
