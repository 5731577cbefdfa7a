/** JSON in which no object has a name twice: two readers may take different ones (RFC 8259 4), and one of them judges. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g

/** Undefined: not JSON, or a name is there twice. */
export function parseStrictJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return hasNameTwice(text) ? undefined : value
}

/** Of text that is JSON. */
function hasNameTwice(text: string): boolean {
  const open: (Set<string> | undefined)[] = []
  let last = ''
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token === ':') {
      const names = open.at(-1)
      // Escapes may spell one name in two ways.
      const name = JSON.parse(last) as string
      if (names?.has(name) === true) return true
      names?.add(name)
    }
    last = token
  }
  return false
}
