/** Label selectors in both their forms: the text of `kubectl -l` and the object of a spec. Pure. */
import type { LabelSelector } from '../../kube/kinds.ts'
import { MeshError } from '../../runtime/errors.ts'

export type Selector = (labels: Readonly<Record<string, string>>) => boolean

/** An absent selector matches nothing, an empty one everything (API conventions). */
export function compileSelector(selector: LabelSelector | undefined): Selector {
  if (selector === undefined) return () => false
  const equal = Object.entries(selector.matchLabels ?? {})
  const expressions = selector.matchExpressions ?? []
  return (labels) =>
    equal.every(([key, value]) => labels[key] === value) &&
    expressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value)
        case 'NotIn':
          return value === undefined || !values.includes(value)
        case 'Exists':
          return value !== undefined
        case 'DoesNotExist':
          return value === undefined
        default:
          return false
      }
    })
}

/** A Service's selector: every pair must match, and an empty one matches nothing. */
export function matchesAll(selector: Readonly<Record<string, string>> | undefined): Selector {
  const pairs = Object.entries(selector ?? {})
  return (labels) => pairs.length > 0 && pairs.every(([key, value]) => labels[key] === value)
}

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k`; empty text matches everything. */
export function parseSelector(text: string): Selector {
  const terms = splitTerms(text).map((term) => parseTerm(term, text))
  return (labels) => terms.every((term) => term(labels))
}

function splitTerms(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== '')
}

const KEY = '[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?'
const FORMS = {
  set: new RegExp(`^(${KEY})\\s+(in|notin)\\s+\\(([^()]*)\\)$`),
  equality: new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([-A-Za-z0-9_.]*)$`),
  existence: new RegExp(`^(!?)\\s*(${KEY})$`),
} as const

function parseTerm(term: string, whole: string): Selector {
  const set = FORMS.set.exec(term)
  if (set !== null) {
    const values = new Set((set[3] ?? '').split(',').map((value) => value.trim()))
    const key = set[1] ?? ''
    const within = (labels: Readonly<Record<string, string>>): boolean => values.has(labels[key] ?? '\0')
    return set[2] === 'in' ? within : (labels) => !within(labels)
  }
  const equality = FORMS.equality.exec(term)
  if (equality !== null) {
    const [, key = '', operator, value = ''] = equality
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value
  }
  const existence = FORMS.existence.exec(term)
  if (existence !== null) {
    const [, not, key = ''] = existence
    return not === '!' ? (labels) => !(key in labels) : (labels) => key in labels
  }
  throw new MeshError('USAGE', `"${whole}" is not a label selector: cannot read "${term}"`)
}
