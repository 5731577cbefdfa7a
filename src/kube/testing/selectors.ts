/** Label and field selectors for the in-memory client: the grammar the product uses, refused otherwise. */
import { KubeError } from '../client.ts'
import type { KubeObject } from '../object.ts'

export type Matcher = (object: KubeObject) => boolean

export function matcherOf(selectors: { labelSelector?: string; fieldSelector?: string }): Matcher {
  const labels = parseTerms(selectors.labelSelector, labelTerm)
  const fields = parseTerms(selectors.fieldSelector, fieldTerm)
  return (object) => labels.every((term) => term(object)) && fields.every((term) => term(object))
}

function parseTerms(text: string | undefined, parse: (term: string) => Matcher): readonly Matcher[] {
  if (text === undefined || text === '') return []
  // Commas inside `in (a,b)` do not separate terms.
  return text.split(/,(?![^(]*\))/).map((term) => parse(term.trim()))
}

function labelTerm(term: string): Matcher {
  const set = /^([^\s!=]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(term)
  if (set !== null) {
    const [, key = '', operator, list = ''] = set
    const values = new Set(list.split(',').map((value) => value.trim()))
    return (object) => values.has(object.metadata.labels?.[key] ?? '\0') === (operator === 'in')
  }
  const equal = /^([^\s!=]+)\s*(!=|==?)\s*([^\s=]*)$/.exec(term)
  if (equal !== null) {
    const [, key = '', operator, value] = equal
    return (object) => (object.metadata.labels?.[key] === value) === (operator !== '!=')
  }
  const exists = /^(!?)([^\s!=()]+)$/.exec(term)
  if (exists === null) throw new KubeError(400, 'BadRequest', `unable to parse requirement: ${term}`)
  const [, not, key = ''] = exists
  return (object) => (object.metadata.labels?.[key] !== undefined) === (not === '')
}

function fieldTerm(term: string): Matcher {
  const match = /^([A-Za-z.]+)(!=|==?)(.*)$/.exec(term)
  if (match === null) throw new KubeError(400, 'BadRequest', `invalid field selector: ${term}`)
  const [, path = '', operator, value] = match
  return (object) => (fieldAt(object, path) === value) === (operator !== '!=')
}

/** As text; an absent field equals the empty string. */
function fieldAt(object: unknown, path: string): string {
  let value = object
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return ''
    value = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}
