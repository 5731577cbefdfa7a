/** Query parameter matchers: the first parameter of a name, compared as written. Envoy does not decode them either. */
import type { QueryMatch } from '../../model/config.ts'
import { compileString } from './strings.ts'

/** `path` with its query. */
export type QueryTest = (path: string) => boolean

export function compileQuery(matches: readonly QueryMatch[] | undefined): QueryTest | undefined {
  if (matches === undefined || matches.length === 0) return undefined
  const tests = matches.map(compileParameter)
  return (path) => tests.every((test) => test(path))
}

function compileParameter({ name, is }: QueryMatch): QueryTest {
  if (is.kind === 'present') return (path) => (parameterOf(path, name) !== undefined) === is.present
  const test = compileString(is)
  return (path) => {
    const value = parameterOf(path, name)
    return value !== undefined && test(value)
  }
}

/** Empty when there is no `=`; undefined when the parameter is absent. */
export function parameterOf(path: string, name: string): string | undefined {
  let at = path.indexOf('?') + 1
  if (at === 0) return undefined
  while (at <= path.length) {
    const next = path.indexOf('&', at)
    const end = next === -1 ? path.length : next
    if (path.startsWith(name, at)) {
      const after = at + name.length
      if (after === end) return ''
      if (after < end && path.charCodeAt(after) === 0x3d) return path.slice(after + 1, end)
    }
    at = end + 1
  }
  return undefined
}
