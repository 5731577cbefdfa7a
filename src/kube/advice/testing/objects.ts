/** Objects that tests of several folders judge. */
import type { KubeObject } from '../../object.ts'

/** A sound CircuitBreakerPolicy with a spec of the test's own. */
export const breakerPolicy = (spec: object, metadata: object = {}): KubeObject =>
  ({
    apiVersion: 'isthmus.dev/v1alpha1',
    kind: 'CircuitBreakerPolicy',
    metadata: { name: 'checkout', namespace: 'shop', ...metadata },
    spec: { targetRefs: [{ kind: 'Service', name: 'checkout' }], ...spec },
  }) as KubeObject
