/** How an area says what it knows: rules on single objects of a kind, fields it does not run, rules over many objects. */
import type { KubeObject, Resource } from '../object.ts'
import type { FlawOf, Rule } from './finding.ts'
import type { ObjectSet } from './objects.ts'

/** Pure; sees only objects that their schemas accept. */
export type SetRule = (objects: ObjectSet) => Iterable<FlawOf>

/** A field of a supported kind that is stored and does nothing here. */
export interface UnsupportedField {
  /** As `fieldsAt` takes it: `spec.http[].fault.abort.http2Error`. */
  readonly path: string
  /** What to write instead, or why there is none. */
  readonly hint?: string
}

export interface KindAdvice {
  readonly resource: Resource<KubeObject>
  readonly rules: readonly Rule<KubeObject>[]
  readonly unsupported: readonly UnsupportedField[]
}

export interface Area {
  readonly kinds: readonly KindAdvice[]
  readonly setRules: readonly SetRule[]
}

export function adviceOn<T extends KubeObject>(
  resource: Resource<T>,
  parts: { readonly rules?: readonly Rule<T>[]; readonly unsupported?: readonly UnsupportedField[] },
): KindAdvice {
  const { rules = [], unsupported = [] } = parts
  // The frame calls a kind's rules only with objects of that kind whose schema has accepted them.
  return { resource, rules: rules as unknown as readonly Rule<KubeObject>[], unsupported }
}
