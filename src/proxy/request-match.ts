/** A route's conditions compiled into one test of a head: for routes' own lookup see routes.ts, for filters' rules this. */
import type { RouteMatch } from '../model/config.ts'
import { compileHeaders } from './match/headers.ts'
import { compilePath, withoutQuery } from './match/paths.ts'
import { compileQuery } from './match/query.ts'
import type { RequestHead } from './message.ts'

export type RequestTest = (head: RequestHead) => boolean

export function compileMatch(match: RouteMatch): RequestTest {
  if (match.kind === 'connect') return ({ method }) => method === 'CONNECT'
  const path = compilePath(match)
  const headers = compileHeaders(match.headers)
  const query = compileQuery(match.query)
  return (head) => path(withoutQuery(head.path)) && headers?.(head) !== false && query?.(head.path) !== false
}
