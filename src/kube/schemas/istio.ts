/**
 * What all kinds of Istio's groups share in their CRDs: status, categories, an optional spec, and whose they are. Their
 * fields stand in the areas' own files. CRDs of these groups are installed only where nobody else brought them.
 */
import { z } from 'zod'
import type { KubeObject } from '../object.ts'
import { dateTime } from './common.ts'
import type { KindDefinition } from './definition.ts'

/** Istio's conditions lack the limits of metav1.Condition and may leave most fields out. */
const condition = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().exactOptional(),
  message: z.string().exactOptional(),
  lastTransitionTime: dateTime().exactOptional(),
  lastProbeTime: dateTime().exactOptional(),
  observedGeneration: z.number().int().exactOptional(),
})

/** IstioStatus (meta/v1alpha1): fields that we do not write are kept for those who do. */
export const istioStatus = () =>
  z
    .looseObject({ conditions: z.array(condition).exactOptional() })
    .meta({ 'x-kubernetes-preserve-unknown-fields': true })

export const AGE_COLUMN = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' } as const

type IstioParts<T extends KubeObject> = Pick<KindDefinition<T>, 'resource' | 'description' | 'spec'> &
  Partial<Omit<KindDefinition<T>, 'resource' | 'description' | 'spec'>>

/** `parts` is what differs from kind to kind. */
export function istioKind<T extends KubeObject>(parts: IstioParts<T>): KindDefinition<T> {
  const [area = ''] = parts.resource.group.split('.')
  return {
    status: istioStatus(),
    shortNames: [],
    columns: [AGE_COLUMN],
    categories: ['istio-io', `${area}-istio-io`],
    // `spec: {}` and no spec at all mean the same in protobuf's JSON.
    specOptional: true,
    ...parts,
  }
}
