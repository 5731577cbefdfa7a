/** Regular expressions of routes: conditions of the type `RegularExpression`, which are RE2 here. */
import type { GrpcRoute, HttpRoute } from '../../kinds/gateway-api.ts'
import type { Flaw } from '../finding.ts'
import { judgePatterns, type Pattern } from '../traffic/patterns.ts'

interface Typed {
  readonly type?: string | undefined
  readonly value?: string | undefined
}

const isPattern = ({ type }: Typed): boolean => type === 'RegularExpression'

export function httpPatternFlaws({ spec }: HttpRoute): Iterable<Flaw> {
  const found = (spec.rules ?? []).flatMap(({ matches = [] }, at) =>
    matches.flatMap(({ path, headers = [], queryParams = [] }, index) => {
      const base = `spec.rules[${at}].matches[${index}]`
      return [
        ...(path === undefined ? [] : patternOf(path, `${base}.path`)),
        ...headers.flatMap((header, place) => patternOf(header, `${base}.headers[${place}]`)),
        ...queryParams.flatMap((param, place) => patternOf(param, `${base}.queryParams[${place}]`)),
      ]
    }),
  )
  return judgePatterns(found, 'spec.rules')
}

export function grpcPatternFlaws({ spec }: GrpcRoute): Iterable<Flaw> {
  const found = (spec.rules ?? []).flatMap(({ matches = [] }, at) =>
    matches.flatMap(({ method, headers = [] }, index): Pattern[] => {
      const base = `spec.rules[${at}].matches[${index}]`
      const ofMethod = method === undefined || !isPattern(method) ? [] : (['service', 'method'] as const)
      return [
        ...ofMethod.flatMap((name) => {
          const pattern = method?.[name]
          return pattern === undefined ? [] : [{ pattern, field: `${base}.method.${name}` }]
        }),
        ...headers.flatMap((header, place) => patternOf(header, `${base}.headers[${place}]`)),
      ]
    }),
  )
  return judgePatterns(found, 'spec.rules')
}

const patternOf = (typed: Typed, path: string): Pattern[] =>
  isPattern(typed) && typed.value !== undefined ? [{ pattern: typed.value, field: `${path}.value` }] : []
