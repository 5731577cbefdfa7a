/**
 * Finds keys that occur twice in one JSON object. Runs over text that JSON.parse has already accepted, so it need not
 * report syntax errors; it only keeps track of where it is.
 */
interface Frame {
  readonly keys: Set<string> | undefined // undefined: an array
  readonly path: string
  index: number
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

export function duplicateKeys(source: string): string[] {
  const duplicates: string[] = []
  const stack: Frame[] = []
  let key = ''
  let expectKey = false
  for (const [token] of source.matchAll(TOKEN)) {
    const top = stack.at(-1)
    if (token === '{' || token === '[') {
      stack.push({ keys: token === '{' ? new Set() : undefined, path: pathBelow(top, key), index: 0 })
      expectKey = token === '{'
    } else if (token === '}' || token === ']') {
      stack.pop()
      expectKey = false
    } else if (token === ',') {
      if (top !== undefined) top.index += 1
      expectKey = top?.keys !== undefined
    } else if (token.startsWith('"') && expectKey && top?.keys !== undefined) {
      key = JSON.parse(token) as string
      if (top.keys.has(key)) duplicates.push(top.path === '' ? key : `${top.path}.${key}`)
      top.keys.add(key)
      expectKey = false
    }
  }
  return duplicates
}

function pathBelow(parent: Frame | undefined, key: string): string {
  if (parent === undefined) return ''
  if (parent.keys === undefined) return `${parent.path}[${parent.index}]`
  return parent.path === '' ? key : `${parent.path}.${key}`
}
