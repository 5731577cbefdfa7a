/** Sidecar injection on clusters whose nodes do not do it themselves: a pod about to be stored gets its patch. */
import { injectSidecar, type Injectable } from '../../kube/inject.ts'
import type { AdmissionRequest, AdmissionResponse } from '../../kube/kinds/admission.ts'
import type { Pod } from '../../kube/kinds.ts'
import { LABELS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import type { MeshFacts } from '../observe/facts.ts'

export interface InjectFacts {
  readonly mesh: MeshFacts
  readonly image: string
}

/** The selectors have chosen; what they cannot say (host network, annotations) the pure function decides again. */
export function injectReview(
  request: AdmissionRequest,
  { mesh, image }: InjectFacts,
  asked: 'namespace' | 'pod',
): AdmissionResponse {
  const { uid, object, namespace = '', kind } = request
  if (object === undefined || object === null || kind.kind !== 'Pod') return { uid, allowed: true }
  const pod = object as Pod
  const injected = injectSidecar<Injectable>(pod, {
    namespace,
    namespaceLabels: asked === 'namespace' ? { [LABELS.injectNamespace]: 'enabled' } : {},
    mesh: mesh.mesh,
    cluster: mesh.cluster,
    image,
    controlPlaneAddress: `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}.svc.${mesh.domain}:${PORTS.xds}`,
    explicitProxyHost: '127.0.0.1',
    capture: true,
  })
  if (injected === undefined) return { uid, allowed: true }
  // The spec is replaced whole: injection has seen the one that this patch is for.
  const patch = [{ op: 'replace', path: '/spec', value: injected.spec }]
  return {
    uid,
    allowed: true,
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
  }
}
