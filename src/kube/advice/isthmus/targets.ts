/** Targets of own policies. One that is not there: the policy acts as soon as it is, so this is a warning, and lint's alone. */
import {
  AUTHENTICATION_POLICIES,
  CIRCUIT_BREAKER_POLICIES,
  RATE_LIMIT_POLICIES,
  SERVICE_IMPORTS,
  SERVICES,
} from '../../kinds.ts'
import type { KubeObject, Resource } from '../../object.ts'
import { about, error, type Flaw, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'

export function* missingTargets(objects: ObjectSet): Iterable<FlawOf> {
  const policies = [
    ...objects.list(CIRCUIT_BREAKER_POLICIES),
    ...objects.list(RATE_LIMIT_POLICIES),
    ...objects.list(AUTHENTICATION_POLICIES),
  ]
  for (const policy of policies) {
    const namespace = policy.metadata.namespace ?? ''
    for (const [index, { kind, name }] of (policy.spec.targetRefs ?? []).entries()) {
      const resource: Resource<KubeObject> = kind === 'Service' ? SERVICES : SERVICE_IMPORTS
      if (!objects.knows(resource, namespace) || objects.get(resource, namespace, name) !== undefined) continue
      const message = `namespace ${namespace} has no ${kind} ${name}`
      yield about(policy, warning({ code: 'TARGET_UNKNOWN', field: `spec.targetRefs[${index}].name`, message }))
    }
  }
}

interface Target {
  readonly kind: 'Service' | 'ServiceImport'
  readonly group?: string
}

export function* targetGroupFlaws(targets: readonly Target[]): Iterable<Flaw> {
  for (const [index, { kind, group }] of targets.entries()) {
    const wanted = kind === 'Service' ? '' : 'multicluster.x-k8s.io'
    if (group === undefined || group === wanted) continue
    const message = `must be "${wanted}" for a ${kind}`
    yield error({ code: 'FIELD_INVALID', field: `spec.targetRefs[${index}].group`, message })
  }
}
