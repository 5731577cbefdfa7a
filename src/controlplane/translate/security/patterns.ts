/**
 * Istio's patterns: exact, prefix `abc*`, suffix `*abc`, presence `*`; paths may be templates with `{*}` (one segment)
 * and `{**}` (any number). To Envoy's matchers, and judged here where the text is known already.
 */
import type { StringMatch } from '../../../model/config.ts'

export type Pattern =
  | { readonly kind: 'exact' | 'prefix' | 'suffix'; readonly text: string }
  /** Anything that is there. */
  | { readonly kind: 'present' }

export function patternOf(value: string): Pattern {
  if (value === '*') return { kind: 'present' }
  if (value.startsWith('*')) return { kind: 'suffix', text: value.slice(1) }
  if (value.endsWith('*')) return { kind: 'prefix', text: value.slice(0, -1) }
  return { kind: 'exact', text: value }
}

export function matches(value: string, text: string): boolean {
  const pattern = patternOf(value)
  switch (pattern.kind) {
    case 'exact':
      return text === pattern.text
    case 'prefix':
      return text.startsWith(pattern.text)
    case 'suffix':
      return text.endsWith(pattern.text)
    case 'present':
      return text !== ''
    default:
      return pattern satisfies never
  }
}

export function stringMatch(value: string): StringMatch {
  const pattern = patternOf(value)
  return pattern.kind === 'present' ? { kind: 'regex', value: '.+' } : { kind: pattern.kind, value: pattern.text }
}

const TEMPLATE = /\{\*\*?\}/

/** Any path where the template's fixed parts stand: more than Envoy's own, whose variables leave odd bytes out. */
export function pathMatch(value: string): StringMatch {
  if (!TEMPLATE.test(value)) return stringMatch(value)
  const parts = value.split(/(\{\*\*?\})/).map((part) => {
    if (part === '{*}') return '[^/]+'
    return part === '{**}' ? '.*' : quoted(part)
  })
  return { kind: 'regex', value: parts.join('') }
}

/** For RE2. */
export const quoted = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
