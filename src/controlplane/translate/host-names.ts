/** Host names and wildcards: which is a part of which. Lower case, `*`, `*.suffix` or a name; pure. */

/** Whether every name that `inner` stands for is one that `pattern` stands for. */
export function covers(pattern: string, inner: string): boolean {
  if (pattern === '*' || pattern === inner) return true
  return pattern.startsWith('*.') && inner.length > pattern.length - 1 && inner.endsWith(pattern.slice(1))
}

/** Names that both stand for, in the words of the narrower one; undefined: they have none in common. */
export function intersect(one: string, other: string): string | undefined {
  if (covers(one, other)) return other
  return covers(other, one) ? one : undefined
}
