/**
 * Where Kubernetes would call the injection webhook: a pod about to be stored gets its sidecar by the same pure
 * function. Before the mesh is installed (no ConfigMap `isthmus-mesh`) nothing is injected.
 */
import { injectSidecar } from '../../kube/inject.ts'
import type { ConfigMap, Pod } from '../../kube/kinds.ts'
import type { KubeObject } from '../../kube/object.ts'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { IMAGE } from '../../runtime/version.ts'
import type { PlanKind } from './address-plan.ts'
import type { ReadCache } from './cache.ts'
import { CLUSTER_DOMAIN } from '../dns/zone.ts'

/** The pod as it should be stored, or undefined to leave it. */
export function admitPod(
  pod: Pod,
  namespace: KubeObject,
  facts: { readonly configMaps: ReadCache<ConfigMap>; readonly plan: PlanKind },
): Pod | undefined {
  const { configMaps, plan } = facts
  const { mesh, cluster } = configMaps.get(SYSTEM_NAMESPACE, OBJECTS.meshConfig)?.data ?? {}
  if (mesh === undefined || cluster === undefined) return undefined
  return injectSidecar(pod, {
    namespace: namespace.metadata.name ?? '',
    namespaceLabels: namespace.metadata.labels ?? {},
    mesh,
    cluster,
    image: IMAGE,
    controlPlaneAddress: `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}.svc.${CLUSTER_DOMAIN}:${PORTS.xds}`,
    // Where pods share one network namespace, each has its proxy on its own address.
    explicitProxyHost: plan === 'plain' ? '$(POD_IP)' : '127.0.0.1',
    capture: plan === 'namespaced',
  })
}
