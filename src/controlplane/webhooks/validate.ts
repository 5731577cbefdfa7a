/** Admission of the judged kinds, pure: an AdmissionReview's request to its answer. */
import { isDeepStrictEqual } from 'node:util'
import { adviseObject } from '../../kube/advice/advise.ts'
import { type Finding, isUnsupported, lineOf, refuses } from '../../kube/advice/finding.ts'
import type { AdmissionRequest, AdmissionResponse } from '../../kube/kinds/admission.ts'
import type { KubeObject } from '../../kube/object.ts'

/** What fits a terminal; the rest shows when these are mended. */
const REFUSALS_MAX = 10
/** API servers cut warnings off at 256 characters each and 4,096 together. */
const WARNINGS_MAX = 15

export function validateReview({ uid, object, oldObject, operation }: AdmissionRequest): AdmissionResponse {
  if (object === undefined || object === null || operation === 'DELETE') return { uid, allowed: true }
  const findings = adviseObject(object)
  const refused = isOlderThanRules(object, oldObject ?? undefined) ? [] : findings.filter(refuses)
  const warnings = warningsOf(findings.filter((finding) => !refused.includes(finding)))
  if (refused.length === 0) return { uid, allowed: true, ...warnings }
  const lines = refused.slice(0, REFUSALS_MAX).map(lineOf)
  const more = refused.length - lines.length
  const message = [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('; ')
  return { uid, allowed: false, status: { code: 422, reason: 'Invalid', message }, ...warnings }
}

/**
 * An update that leaves the spec as it was, labels and finalizers say, is never refused: the object may be older than
 * the rule, and must be removable by whoever holds it.
 */
function isOlderThanRules(object: KubeObject, old: KubeObject | undefined): boolean {
  if (old === undefined) return false
  if (object.metadata.deletionTimestamp !== undefined) return true
  return isDeepStrictEqual(specOf(object), specOf(old))
}

const specOf = (object: KubeObject): unknown => (object as KubeObject & { spec?: unknown }).spec

function warningsOf(findings: readonly Finding[]): { warnings?: readonly string[] } {
  if (findings.length === 0) return {}
  return {
    warnings: findings.slice(0, WARNINGS_MAX).map((finding) => {
      // What is not run is the first thing to know of it.
      const { code, field, message } = finding
      return isUnsupported(finding) || finding.severity === 'error'
        ? `[${code}] ${field === '' ? '' : `${field}: `}${message}`
        : lineOf(finding)
    }),
  }
}
