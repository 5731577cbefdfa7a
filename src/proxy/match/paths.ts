/** Path matchers, compiled once. They get the normalised path without its query (normal-path.ts). */
import type { RouteMatch } from '../../model/config.ts'
import { compileRegex } from '../../runtime/regex.ts'

export type PathTest = (path: string) => boolean

export function compilePath(match: RouteMatch): PathTest {
  if (match.kind === 'connect') return () => true
  if (match.kind === 'regex') {
    const regex = compileRegex(match.regex)
    return (path) => regex.testExact(path)
  }
  if (match.ignoreCase !== true) return plainTest(match.kind, match.kind === 'path' ? match.path : match.prefix)
  const test = plainTest(match.kind, (match.kind === 'path' ? match.path : match.prefix).toLowerCase())
  return (path) => test(path.toLowerCase())
}

function plainTest(kind: 'path' | 'prefix' | 'separated-prefix', value: string): PathTest {
  if (kind === 'path') return (path) => path === value
  if (kind === 'prefix') return value === '/' ? (path) => path.charCodeAt(0) === 0x2f : (path) => path.startsWith(value)
  // `/api` matches `/api` and `/api/v1`, never `/apiary`.
  return (path) => path.startsWith(value) && (path.length === value.length || path.charCodeAt(value.length) === 0x2f)
}

export function withoutQuery(path: string): string {
  const mark = path.indexOf('?')
  return mark === -1 ? path : path.slice(0, mark)
}
