/**
 * Label and field selectors: the query strings of list, watch and deletecollection as predicates. Which fields a kind
 * offers is the kind's own table; this file only knows the two grammars.
 */
import { badRequest } from '../status.ts'
import { child, type ApiObject, type JsonObject, texts } from '../object.ts'

export type Predicate = (object: ApiObject) => boolean

export type FieldReader = (object: ApiObject) => string

export interface LabelRequirement {
  readonly key: string
  readonly operator: 'in' | 'notin' | 'exists' | '!'
  readonly values: readonly string[]
}

const LABEL_KEY = /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const SET_EXPRESSION = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/
const EQUALITY = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/

export function parseLabelSelector(selector: string): LabelRequirement[] {
  return splitTopLevel(selector).map((part) => {
    const set = SET_EXPRESSION.exec(part)
    if (set !== null) {
      const values = (set[3] ?? '').split(',').map((value) => value.trim())
      return requirement(set[1] ?? '', set[2] === 'in' ? 'in' : 'notin', values)
    }
    const equality = EQUALITY.exec(part)
    if (equality !== null)
      return requirement(equality[1] ?? '', equality[2] === '!=' ? 'notin' : 'in', [equality[3] ?? ''])
    if (part.startsWith('!')) return requirement(part.slice(1).trim(), '!', [])
    return requirement(part, 'exists', [])
  })
}

function requirement(key: string, operator: LabelRequirement['operator'], values: string[]): LabelRequirement {
  if (!LABEL_KEY.test(key))
    throw badRequest(
      `unable to parse requirement: key: Invalid value: ${JSON.stringify(key)}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`,
    )
  return { key, operator, values }
}

/** Splits at commas outside parentheses; empty parts are ignored, as Go's parser does for an empty selector. */
function splitTopLevel(selector: string): string[] {
  const parts = selector.split(/,(?![^(]*\))/).map((part) => part.trim())
  return parts.filter((part) => part !== '')
}

export function matchesLabels(requirements: readonly LabelRequirement[], labels: Record<string, string>): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = labels[key]
    switch (operator) {
      case 'in':
        return value !== undefined && values.includes(value)
      case 'notin':
        return value === undefined || !values.includes(value)
      case 'exists':
        return value !== undefined
      default:
        return value === undefined
    }
  })
}

export function labelPredicate(selector: string): Predicate {
  const requirements = parseLabelSelector(selector)
  return (object) => matchesLabels(requirements, object.metadata.labels ?? {})
}

/** `fields` are those of the kind; metadata.name and metadata.namespace every kind has. */
export function fieldPredicate(selector: string, fields: Readonly<Record<string, FieldReader>>): Predicate {
  const terms = selector
    .split(/(?<!\\),/)
    .filter((term) => term !== '')
    .map((term) => {
      const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(term)
      if (match === null) throw badRequest(`invalid selector: '${selector}'; can't understand '${term}'`)
      const field = match[1] ?? ''
      const read = COMMON_FIELDS[field] ?? fields[field]
      if (read === undefined) throw badRequest(`field label not supported: ${field}`)
      return { read, equal: match[2] !== '!=', value: (match[3] ?? '').replaceAll(/\\([\\,=])/g, '$1') }
    })
  return (object) => terms.every(({ read, equal, value }) => (read(object) === value) === equal)
}

const COMMON_FIELDS: Readonly<Record<string, FieldReader>> = {
  'metadata.name': (object) => object.metadata.name ?? '',
  'metadata.namespace': (object) => object.metadata.namespace ?? '',
}

/** The one name that a field selector pins, so that authorization can look at resourceNames. */
export function pinnedName(selector: string | null): string {
  return /^metadata\.name==?([^,]+)$/.exec(selector ?? '')?.[1] ?? ''
}

/** A LabelSelector object as the text form, for scale's `status.selector`. */
export function selectorText(selector: JsonObject): string {
  const equalities = Object.entries(child(selector, 'matchLabels')).map(([key, value]) => `${key}=${String(value)}`)
  const expressions = Array.isArray(selector['matchExpressions']) ? selector['matchExpressions'] : []
  const sets = expressions.map((expression: JsonObject) => {
    const key = String(expression['key'])
    const values = texts(expression, 'values').sort().join(',')
    switch (expression['operator']) {
      case 'In':
        return `${key} in (${values})`
      case 'NotIn':
        return `${key} notin (${values})`
      case 'Exists':
        return key
      default:
        return `!${key}`
    }
  })
  return [...equalities.sort(), ...sets].join(',')
}
