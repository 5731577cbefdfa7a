/**
 * Objects that admission would refuse may be stored all the same: while the webhook was away, or from before it. They are
 * judged again here by the same rules, so that nothing invalid is ever translated: the last good version stays in force.
 */
import { adviseObject } from '../../kube/advice/advise.ts'
import { type Finding, refuses } from '../../kube/advice/finding.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'

export interface Verdict {
  readonly resource: Resource<KubeObject>
  readonly object: KubeObject
  readonly findings: readonly Finding[]
}

export type OnVerdict = (verdict: Verdict) => void

/** Whether the object may be read. Status and metadata alone do not change what the rules say. */
export function judgeOf<T extends KubeObject>(resource: Resource<T>, onVerdict: OnVerdict): (object: T) => boolean {
  return (object) => {
    const findings = adviseObject({
      ...object,
      apiVersion: `${resource.group}/${resource.version}`,
      kind: resource.kind,
    })
    onVerdict({ resource, object, findings })
    return !findings.some(refuses)
  }
}

/** Groups whose objects are judged here; what another area writes into status is that area's. */
export const isJudged = ({ group }: Resource<KubeObject>): boolean => group.endsWith('.istio.io')
