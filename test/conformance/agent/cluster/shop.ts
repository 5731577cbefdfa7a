/** The workloads of cluster.test.ts: each a Deployment of one pod, with Envoy, our proxy or nothing beside it. */
import type { SidecarKind } from '../world.ts'

export interface Workload {
  readonly name: string
  readonly kind: SidecarKind
  readonly account: string
  readonly labels: Readonly<Record<string, string>>
}

export const WORKLOADS: readonly Workload[] = [
  { name: 'caller-envoy', kind: 'envoy', account: 'caller', labels: {} },
  { name: 'caller-ours', kind: 'ours', account: 'caller', labels: {} },
  { name: 'callee-v1', kind: 'envoy', account: 'callee', labels: { app: 'callee', version: 'v1' } },
  { name: 'callee-v2', kind: 'ours', account: 'callee', labels: { app: 'callee', version: 'v2' } },
  { name: 'shadow', kind: 'none', account: 'default', labels: { app: 'shadow' } },
  { name: 'outside', kind: 'none', account: 'default', labels: {} },
]

const NAMESPACE = 'shop'
export const APP_PORT = 8_080
export const GREET_PORT = 9_000

/** kubectl takes JSON as it takes YAML. */
export function manifests(): string {
  const services = ['callee', 'shadow'].map((name) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: APP_PORT }] },
  }))
  const greeters = ['v1', 'v2'].map((version) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `greet-${version}`, namespace: NAMESPACE },
    spec: { selector: { app: 'callee', version }, ports: [{ name: 'tcp', port: GREET_PORT }] },
  }))
  const accounts = ['caller', 'callee'].map((name) => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, namespace: NAMESPACE },
  }))
  const namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'istio-injection': 'enabled' } },
  }
  const items = [namespace, ...accounts, ...services, ...greeters, ...WORKLOADS.map(deployment)]
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
}

function deployment({ name, kind, account, labels }: Workload): object {
  const podLabels = {
    workload: name,
    ...labels,
    ...(kind === 'none' && { 'sidecar.istio.io/inject': 'false' }),
  }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      replicas: 1,
      selector: { matchLabels: { workload: name } },
      template: {
        metadata: {
          labels: podLabels,
          ...(kind === 'envoy' && { annotations: { 'sidecar.isthmus.dev/proxy': 'envoy' } }),
        },
        spec: {
          serviceAccountName: account,
          containers: [
            {
              name: 'app',
              image: 'test/echo:1',
              env: [
                { name: 'NAME', value: name },
                { name: 'PORT', value: String(APP_PORT) },
                { name: 'GREET_PORT', value: String(GREET_PORT) },
                { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
              ],
              readinessProbe: { httpGet: { path: '/healthz', port: APP_PORT }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  }
}
