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
import type { ReadCache } from './cache.ts'
import { CLUSTER_DOMAIN } from '../dns/zone.ts'

/** The pod as it should be stored, or undefined to leave it. */
export function admitPod(pod: Pod, namespace: KubeObject, configMaps: ReadCache<ConfigMap>): Pod | undefined {
  const { mesh, cluster } = configMaps.get(SYSTEM_NAMESPACE, OBJECTS.meshConfig)?.data ?? {}
  if (mesh === undefined || cluster === undefined) return undefined
  return injectSidecar(pod, {
    namespace: namespace.metadata.name ?? '',
    namespaceLabels: namespace.metadata.labels ?? {},
    mesh,
    cluster,
    image: IMAGE,
    controlPlaneAddress: `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}.svc.${CLUSTER_DOMAIN}:${PORTS.xds}`,
    // Pods share one network namespace here: each has its proxy on its own address.
    explicitProxyHost: '$(POD_IP)',
  })
}
