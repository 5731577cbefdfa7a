/**
 * Ingress and egress gateways, where someone asks for them: named, labelled and placed as Istio's, so that documents
 * written for it (selector, Service, Secrets beside the gateway) apply unchanged.
 */
import type { KubeClient } from '../../kube/client.ts'
import { DEPLOYMENTS } from '../../kube/kinds.ts'
import { DAEMON_ENVIRONMENT, ISTIO_NAMESPACE, LABELS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'
import { MeshError } from '../../runtime/errors.ts'
import { CONTROL_PLANE_ADDRESS, type InstallOptions, podSpec } from './workloads.ts'

/** Lets the control plane read a namespace's Secrets: bound where a gateway is, never for the whole cluster. */
const SECRETS_ROLE = 'isthmus-gateway-secrets'

interface GatewayPart {
  readonly role: 'ingress' | 'egress'
  readonly type: 'LoadBalancer' | 'ClusterIP'
}

const INGRESS: GatewayPart = { role: 'ingress', type: 'LoadBalancer' }
/** Only the mesh calls it. */
const EGRESS: GatewayPart = { role: 'egress', type: 'ClusterIP' }

/** As Istio's charts have them: unprivileged ports behind those that clients know. */
const WEB_PORTS: readonly { readonly name: string; readonly port: number; readonly targetPort: number }[] = [
  { name: 'http2', port: 80, targetPort: 8080 },
  { name: 'https', port: 443, targetPort: 8443 },
]
const STATUS_PORT = { name: 'status-port', port: PORTS.readiness, targetPort: PORTS.readiness }

export function gatewayManifests(options: InstallOptions): readonly object[] {
  const { ingressGateway, egressGateway } = options
  const parts = [...(ingressGateway === true ? [INGRESS] : []), ...(egressGateway === true ? [EGRESS] : [])]
  return [
    secretsRole(),
    ...(parts.length === 0 ? [] : [secretsBinding(ISTIO_NAMESPACE)]),
    ...parts.flatMap((part) => [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadataOf(part, `${nameOf(part)}-service-account`) },
      deployment(part, options),
      service(part),
    ]),
  ]
}

/** A gateway of Istio's own that bears the name is not ours to change. */
export async function refuseForeignGateways(
  client: KubeClient,
  { ingressGateway, egressGateway }: Pick<InstallOptions, 'ingressGateway' | 'egressGateway'>,
): Promise<void> {
  const wanted = [...(ingressGateway === true ? [INGRESS] : []), ...(egressGateway === true ? [EGRESS] : [])]
  for (const part of wanted) {
    const found = await client.get(DEPLOYMENTS, nameOf(part), ISTIO_NAMESPACE)
    if (found === undefined || found.metadata.labels?.['app.kubernetes.io/part-of'] === 'isthmus') continue
    const what = `Deployment ${ISTIO_NAMESPACE}/${nameOf(part)}`
    throw new MeshError('USAGE', `${what} is there already and is not ours; install without --${part.role}-gateway`)
  }
}

const nameOf = ({ role }: GatewayPart): string => `istio-${role}gateway`

const labelsOf = (part: GatewayPart): Readonly<Record<string, string>> => ({
  app: nameOf(part),
  istio: `${part.role}gateway`,
  [LABELS.gateway]: part.role,
})

const metadataOf = (part: GatewayPart, name: string): object => ({
  name,
  namespace: ISTIO_NAMESPACE,
  labels: { ...labelsOf(part), 'app.kubernetes.io/part-of': 'isthmus' },
})

/** Who makes a gateway elsewhere binds it there: `kubectl create rolebinding` as docs/gateways.md says. */
const secretsRole = (): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  metadata: { name: SECRETS_ROLE },
  rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
})

const secretsBinding = (namespace: string): object => ({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'RoleBinding',
  metadata: { name: SECRETS_ROLE, namespace, labels: { 'app.kubernetes.io/part-of': 'isthmus' } },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: SECRETS_ROLE },
  subjects: [{ kind: 'ServiceAccount', name: SYSTEM_ACCOUNTS.controlPlane, namespace: SYSTEM_NAMESPACE }],
})

function deployment(part: GatewayPart, { image, cluster, mesh, logLevel }: InstallOptions): object {
  const spec = podSpec(
    {
      name: nameOf(part),
      account: `${nameOf(part)}-service-account`,
      args: ['gateway', '--role', part.role],
      ports: [...WEB_PORTS, STATUS_PORT]
        .map(({ name, targetPort }) => ({ name, containerPort: targetPort }))
        .concat({ name: 'http-monitoring', containerPort: PORTS.metrics }),
      env: {
        ISTHMUS_CLUSTER: cluster,
        ISTHMUS_MESH: mesh,
        ISTHMUS_LOG_LEVEL: logLevel,
        ISTHMUS_CONTROL_PLANE: CONTROL_PLANE_ADDRESS,
        ...DAEMON_ENVIRONMENT,
      },
      hasIdentity: true,
      asksApi: false,
    },
    image,
  )
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(part, nameOf(part)),
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: nameOf(part), istio: `${part.role}gateway` } },
      template: { metadata: { labels: labelsOf(part) }, spec },
    },
  }
}

function service(part: GatewayPart): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(part, nameOf(part)),
    spec: {
      type: part.type,
      selector: { app: nameOf(part), istio: `${part.role}gateway` },
      ports: (part.role === 'ingress' ? [STATUS_PORT, ...WEB_PORTS] : WEB_PORTS).map((port) =>
        Object.assign({ protocol: 'TCP' }, port),
      ),
    },
  }
}
