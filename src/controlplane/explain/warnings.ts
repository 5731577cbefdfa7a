/** What the rules of kube/advice say of some objects of the cluster, as lint would, but of those alone. Pure. */
import type { KubeObject } from '../../kube/object.ts'
import { adviseConcerned } from '../../kube/advice/advise.ts'
import type { FindingText } from '../../model/explain.ts'

/** `Kind namespace/name`, as reports name objects. */
export const refText = (kind: string, { namespace, name }: { namespace: string; name: string }): string =>
  `${kind} ${namespace === '' ? '' : `${namespace}/`}${name}`

const refOf = ({ kind, metadata: { namespace = '', name = '' } }: KubeObject): string =>
  refText(kind, { namespace, name })

export function warningsAbout(objects: readonly KubeObject[], refs: ReadonlySet<string>): readonly FindingText[] {
  const findings = adviseConcerned(objects, (object) => refs.has(refOf(object)))
  return findings.map(({ severity, code, object, field, message, hint }) => ({
    severity,
    code,
    object: refText(object.kind, object),
    field,
    message,
    hint,
  }))
}
