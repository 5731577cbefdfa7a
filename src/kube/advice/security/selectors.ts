/** What Istio's policies have in common: whom they are about. */
import { type Flaw, error } from '../finding.ts'

interface Scoped {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> }
  readonly targetRef?: Target
  readonly targetRefs?: readonly Target[]
}
interface Target {
  readonly group?: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
}

export const invalid = (field: string, message: string): Flaw => error({ code: 'FIELD_INVALID', field, message })

const unsupported = (field: string, message: string): Flaw => error({ code: 'FIELD_UNSUPPORTED', field, message })

const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

export function* scopeFlaws({ selector, targetRef, targetRefs = [] }: Scoped, namespace: string): Iterable<Flaw> {
  const ways = [selector, targetRef, targetRefs.length > 0 ? targetRefs : undefined].filter((way) => way !== undefined)
  if (ways.length > 1) yield invalid('spec', 'may have only one of selector, targetRef and targetRefs')
  yield* labelFlaws(selector)
  if (targetRef !== undefined) yield* targetFlaws('spec.targetRef', targetRef, namespace)
  for (const [index, target] of targetRefs.entries()) yield* targetFlaws(`spec.targetRefs[${index}]`, target, namespace)
  const kinds = new Set(targetRefs.map(({ group = '', kind }) => `${kind}.${group}`))
  if (kinds.size > 1) yield invalid('spec.targetRefs', 'must be of one kind')
}

export function* labelFlaws(selector: Scoped['selector']): Iterable<Flaw> {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    const field = `spec.selector.matchLabels.${key}`
    if (key.includes('*') || value.includes('*')) yield invalid(field, 'takes no wildcards')
    else if (!LABEL_KEY.test(key) || !LABEL_VALUE.test(value)) yield invalid(field, 'is no label')
  }
}

function* targetFlaws(field: string, target: Target, own: string): Iterable<Flaw> {
  const { kind, namespace } = target
  const group = target.group === 'core' ? '' : (target.group ?? '')
  if (namespace !== undefined && namespace !== '' && namespace !== own) {
    yield invalid(`${field}.namespace`, 'must be the own namespace: a policy speaks to nobody else')
  }
  // Gateways of both APIs take policies once they are built; a policy for one must not seem to hold.
  if (group === '' && kind === 'Service') return
  yield unsupported(
    `${field}.kind`,
    `${kind}${group === '' ? '' : `.${group}`} cannot be the target of a policy here yet`,
  )
}
