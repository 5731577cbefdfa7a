/** Policies whose target is not there: they act as soon as it is, so this is a warning, and lint's alone. */
import { CIRCUIT_BREAKER_POLICIES, SERVICE_IMPORTS, SERVICES } from '../../kinds.ts'
import type { KubeObject, Resource } from '../../object.ts'
import { about, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'

export function* missingTargets(objects: ObjectSet): Iterable<FlawOf> {
  for (const policy of objects.list(CIRCUIT_BREAKER_POLICIES)) {
    const namespace = policy.metadata.namespace ?? ''
    for (const [index, { kind, name }] of policy.spec.targetRefs.entries()) {
      const resource: Resource<KubeObject> = kind === 'Service' ? SERVICES : SERVICE_IMPORTS
      if (!objects.knows(resource, namespace) || objects.get(resource, namespace, name) !== undefined) continue
      const message = `namespace ${namespace} has no ${kind} ${name}`
      yield about(policy, warning({ code: 'TARGET_UNKNOWN', field: `spec.targetRefs[${index}].name`, message }))
    }
  }
}
