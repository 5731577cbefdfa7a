/**
 * The webhooks that stored configurations name, in the order in which a real server asks: configurations by name, their
 * webhooks as listed. Compiled once per stored object, which is never changed in place.
 */
import type { Webhook } from '../../../kube/kinds/admission.ts'
import { compileExpression, type Expression } from '../../../kube/cel/expression.ts'
import { compileSelector, type Selector } from '../../cluster/label-selector.ts'
import type { ApiObject } from '../object.ts'
import type { Store } from '../store/store.ts'

export type HookKind = 'mutating' | 'validating'

export interface Hook {
  readonly webhook: Webhook
  readonly namespaces: Selector
  readonly objects: Selector
  readonly conditions: readonly { readonly name: string; readonly expression: Expression }[]
}

const STORAGE: Readonly<Record<HookKind, string>> = {
  mutating: 'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  validating: 'validatingwebhookconfigurations.admissionregistration.k8s.io',
}

/** What matchConditions may name. `authorizer` is not offered. */
export const CONDITION_VARIABLES = ['object', 'oldObject', 'request']

const compiled = new WeakMap<ApiObject, readonly Hook[]>()

export function hooksOf(store: Store, kind: HookKind): readonly Hook[] {
  if (store.count(STORAGE[kind]) === 0) return []
  return store.list(STORAGE[kind]).flatMap(hooksIn)
}

function hooksIn(configuration: ApiObject): readonly Hook[] {
  const known = compiled.get(configuration)
  if (known !== undefined) return known
  const webhooks = (configuration['webhooks'] ?? []) as readonly Webhook[]
  const hooks = webhooks.map((webhook) => ({
    webhook,
    namespaces: compileSelector(webhook.namespaceSelector ?? {}),
    objects: compileSelector(webhook.objectSelector ?? {}),
    conditions: (webhook.matchConditions ?? []).map(({ name, expression }) => ({
      name,
      expression: compileExpression(expression, CONDITION_VARIABLES),
    })),
  }))
  compiled.set(configuration, hooks)
  return hooks
}
