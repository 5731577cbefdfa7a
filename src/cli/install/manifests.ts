/**
 * Everything `isthmus install` writes, as plain objects in the order of creation. The same list goes to any
 * Kubernetes; local clusters get no other.
 */
import { GATEWAY_CLASS, GATEWAY_CONTROLLER, ISTIO_NAMESPACE, OBJECTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { isLabel, isSubdomain } from '../../model/identity.ts'
import { mcsCrds, ownCrds, standardCrds } from '../../kube/schemas/index.ts'
import { webhookConfigurations } from '../../kube/webhooks.ts'
import { MeshError } from '../../runtime/errors.ts'
import { parseHostPort } from '../../runtime/network.ts'
import { gatewayManifests } from './gateways.ts'
import { rbacManifests } from './rbac.ts'
import { workloadManifests, type InstallOptions } from './workloads.ts'

export function installManifests(options: InstallOptions): readonly object[] {
  checkNames(options)
  // Open and without a CA until the control plane answers.
  const { validating, mutating } = webhookConfigurations()
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: SYSTEM_NAMESPACE, labels: { 'istio-injection': 'disabled' } },
    },
    // Documents written for Istio put there what holds for the whole mesh. Nothing is changed where it is already.
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: ISTIO_NAMESPACE } },
    ...mcsCrds(),
    ...ownCrds(),
    ...standardCrds(),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: OBJECTS.meshConfig, namespace: SYSTEM_NAMESPACE },
      immutable: true,
      data: { mesh: options.mesh, cluster: options.cluster, domain: 'cluster.local' },
    },
    ...rbacManifests(),
    ...workloadManifests(options),
    ...gatewayManifests(options),
    validating,
    mutating,
    // Last: a kind is served only a moment after its definition.
    gatewayClass(),
    ...(options.strict === true ? [strictMesh()] : []),
  ]
}

/** Gateways of this class are this mesh's. */
const gatewayClass = (): object => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  metadata: { name: GATEWAY_CLASS },
  spec: { controllerName: GATEWAY_CONTROLLER },
})

/** Callers without certificate are refused everywhere in the mesh, but for what a namespace or workload says. */
const strictMesh = (): object => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'default', namespace: SYSTEM_NAMESPACE },
  spec: { mtls: { mode: 'STRICT' } },
})

function checkNames(options: InstallOptions): void {
  const { cluster, mesh, gatewayAddress } = options
  const wrong = gatewayAddress?.split(',').find((address) => parseHostPort(address) === undefined)
  if (wrong !== undefined) throw new MeshError('USAGE', `--gateway-address ${wrong} is not host:port`)
  if (!isLabel(cluster)) {
    throw new MeshError(
      'USAGE',
      `cluster name "${options.cluster}" is not an RFC 1123 label (a-z, 0-9, '-', at most 63 characters)`,
    )
  }
  if (!isSubdomain(mesh))
    throw new MeshError('USAGE', `mesh name "${options.mesh}" is not an RFC 1123 subdomain, such as demo.mesh`)
  if (`${cluster}.${mesh}`.length > TRUST_DOMAIN_BYTES_MAX) {
    throw new MeshError(
      'USAGE',
      `trust domain ${cluster}.${mesh} is longer than ${TRUST_DOMAIN_BYTES_MAX} bytes; choose shorter names`,
    )
  }
}

/** SPIFFE-ID section 2.1. */
const TRUST_DOMAIN_BYTES_MAX = 255
