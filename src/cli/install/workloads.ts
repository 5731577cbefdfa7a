/** Deployments and Services of the mesh's own parts: control plane, federation controller, east-west gateway. */
import {
  ANNOTATIONS,
  CA_AUDIENCE,
  DAEMON_ENVIRONMENT,
  DNS_ACCOUNT,
  OBJECTS,
  PROXY_STATE_PATH,
  SERVING_ROOT_PATH,
  SYSTEM_ACCOUNTS,
  SYSTEM_NAMESPACE,
  TOKEN_PATH,
} from '../../model/names.ts'
import { PORTS } from '../../model/ports.ts'

export interface InstallOptions {
  readonly cluster: string
  readonly mesh: string
  readonly image: string
  /** CIDR of the virtual IPs of imported services. */
  readonly clustersetCidr: string
  readonly logLevel: string
  /** `host:port,…` where peers reach the gateway, when that is not its load balancer's address. */
  readonly gatewayAddress?: string
  /** Callers need mutual TLS from the start. */
  readonly strict?: boolean
  /** A DNS server for those whose pods have none. */
  readonly dns?: boolean
  /** In istio-system, as Istio's. */
  readonly ingressGateway?: boolean
  readonly egressGateway?: boolean
}

export const CONTROL_PLANE_ADDRESS = `${SYSTEM_ACCOUNTS.controlPlane}.${SYSTEM_NAMESPACE}.svc.cluster.local:${PORTS.xds}`

const TOKEN_SECONDS = 3_600

interface Part {
  readonly name: string
  /** Its ServiceAccount. Absent: named as the part. */
  readonly account?: string
  /** `false`: it asks the API server nothing, and gets no token for it. */
  readonly asksApi?: false
  readonly args: readonly string[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly env?: Readonly<Record<string, string>>
  /** Parts that hold a workload certificate mount a token for it, the serving root and a memory-backed state directory. */
  readonly hasIdentity: boolean
}

export function workloadManifests(options: InstallOptions): readonly object[] {
  const common = {
    ISTHMUS_CLUSTER: options.cluster,
    ISTHMUS_MESH: options.mesh,
    ISTHMUS_LOG_LEVEL: options.logLevel,
    ...DAEMON_ENVIRONMENT,
  }
  const parts: Part[] = [
    {
      name: SYSTEM_ACCOUNTS.controlPlane,
      args: ['control-plane'],
      ports: [
        port('grpc-xds', PORTS.xds),
        port('grpc-limits', PORTS.rateLimits),
        port('http-monitoring', PORTS.controlMetrics),
        port('https-webhook', PORTS.webhook),
      ],
      env: { ...common, ISTHMUS_IMAGE: options.image },
      hasIdentity: false,
    },
    {
      name: SYSTEM_ACCOUNTS.federation,
      args: ['federation'],
      ports: [
        port('tls-peer', PORTS.federationPeer),
        port('tls-join', PORTS.federationJoin),
        port('http-monitoring', PORTS.controlMetrics),
      ],
      env: { ...common, ISTHMUS_CONTROL_PLANE: CONTROL_PLANE_ADDRESS, ISTHMUS_CLUSTERSET_CIDR: options.clustersetCidr },
      hasIdentity: true,
    },
    {
      name: SYSTEM_ACCOUNTS.eastWest,
      args: ['gateway', '--role', 'east-west'],
      ports: [port('tls-eastwest', PORTS.eastWest), port('http-monitoring', PORTS.metrics)],
      env: { ...common, ISTHMUS_CONTROL_PLANE: CONTROL_PLANE_ADDRESS },
      hasIdentity: true,
      asksApi: false,
    },
  ]
  if (options.dns === true) {
    parts.push({
      name: DNS_ACCOUNT,
      args: ['dns'],
      ports: [port('dns-tcp', PORTS.dns), port('http-monitoring', PORTS.metrics)],
      env: { ...common, ISTHMUS_CONTROL_PLANE: CONTROL_PLANE_ADDRESS },
      hasIdentity: true,
      asksApi: false,
    })
  }
  return [
    ...parts.flatMap((part) => [serviceAccount(part.name), deployment(part, options.image)]),
    service(SYSTEM_ACCOUNTS.controlPlane, 'ClusterIP', [
      { name: 'grpc-xds', port: PORTS.xds },
      { name: 'http-monitoring', port: PORTS.controlMetrics },
      { name: 'https-webhook', port: PORTS.webhook },
    ]),
    service(
      SYSTEM_ACCOUNTS.eastWest,
      'LoadBalancer',
      [{ name: 'tls-eastwest', port: PORTS.eastWest }],
      gatewayAnnotations(options),
    ),
    ...(options.dns === true ? [dnsService()] : []),
  ]
}

function port(name: string, containerPort: number): { name: string; containerPort: number } {
  return { name, containerPort }
}

function serviceAccount(name: string): object {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: SYSTEM_NAMESPACE } }
}

function gatewayAnnotations({ gatewayAddress }: InstallOptions): Readonly<Record<string, string>> {
  return gatewayAddress === undefined ? {} : { [ANNOTATIONS.gatewayAddress]: gatewayAddress }
}

function service(
  name: string,
  type: string,
  ports: readonly { name: string; port: number }[],
  annotations: Readonly<Record<string, string>> = {},
): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: SYSTEM_NAMESPACE, labels: { app: name }, annotations },
    spec: {
      type,
      selector: { app: name },
      ports: ports.map(({ name, port }) => ({ name, port, targetPort: port, protocol: 'TCP' })),
    },
  }
}

/** On the port that resolvers ask. */
const dnsService = (): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: DNS_ACCOUNT, namespace: SYSTEM_NAMESPACE, labels: { app: DNS_ACCOUNT } },
  spec: {
    type: 'ClusterIP',
    selector: { app: DNS_ACCOUNT },
    ports: ['UDP', 'TCP'].map((protocol) => ({
      name: `dns-${protocol.toLowerCase()}`,
      port: 53,
      targetPort: PORTS.dns,
      protocol,
    })),
  },
})

function deployment(part: Part, image: string): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: part.name, namespace: SYSTEM_NAMESPACE, labels: { app: part.name } },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: part.name } },
      template: { metadata: { labels: { app: part.name } }, spec: podSpec(part, image) },
    },
  }
}

/** The pod of a part of the mesh. */
export function podSpec(part: Part, image: string): object {
  const mounts = part.hasIdentity ? identityMounts() : []
  return {
    serviceAccountName: part.account ?? part.name,
    automountServiceAccountToken: part.asksApi !== false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 1337,
      runAsGroup: 1337,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: part.name.replace('isthmus-', ''),
        image,
        args: part.args,
        ports: part.ports,
        env: [...downward(), ...Object.entries(part.env ?? {}).map(([name, value]) => ({ name, value }))],
        readinessProbe: {
          httpGet: { path: '/healthz/ready', port: PORTS.readiness },
          periodSeconds: 1,
          failureThreshold: 3,
        },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        ...(mounts.length === 0 ? {} : { volumeMounts: mounts.map(({ name, mountPath }) => ({ name, mountPath })) }),
      },
    ],
    ...(mounts.length === 0 ? {} : { volumes: mounts.map(({ name, source }) => Object.assign({ name }, source)) }),
  }
}

function downward(): readonly object[] {
  const fields = {
    POD_NAME: 'metadata.name',
    POD_NAMESPACE: 'metadata.namespace',
    POD_IP: 'status.podIP',
    SERVICE_ACCOUNT: 'spec.serviceAccountName',
    NODE_NAME: 'spec.nodeName',
  }
  return Object.entries(fields).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } }))
}

function identityMounts(): readonly { name: string; mountPath: string; source: object }[] {
  return [
    { name: 'isthmus-state', mountPath: PROXY_STATE_PATH, source: { emptyDir: { medium: 'Memory' } } },
    {
      name: 'isthmus-token',
      mountPath: parentOf(TOKEN_PATH),
      source: {
        projected: {
          sources: [
            { serviceAccountToken: { path: 'token', audience: CA_AUDIENCE, expirationSeconds: TOKEN_SECONDS } },
          ],
        },
      },
    },
    {
      name: 'isthmus-serving-root',
      mountPath: parentOf(SERVING_ROOT_PATH),
      source: { configMap: { name: OBJECTS.servingRoot } },
    },
  ]
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))
