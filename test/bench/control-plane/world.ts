/**
 * What the control plane's bench measures on: services with endpoints, and the pods whose proxies connect, as objects
 * of a Kubernetes API; the mesh's trust, as federation would write it. All of it through the API, as users' tools would.
 */
import type { KubeClient } from '../../../src/kube/client.ts'
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  type EndpointSlice,
  NAMESPACES,
  PODS,
  SERVICES,
} from '../../../src/kube/kinds.ts'
import { VIRTUAL_SERVICES, type VirtualService } from '../../../src/kube/kinds/networking.ts'
import type { KubeObject, Resource } from '../../../src/kube/object.ts'
import { mcsCrds, ownCrds, standardCrds } from '../../../src/kube/schemas/index.ts'
import { trustDomainOf } from '../../../src/model/identity.ts'
import { CA_AUDIENCE, OBJECTS, SYSTEM_NAMESPACE } from '../../../src/model/names.ts'
import { formatBundle } from '../../../src/pki/bundle.ts'
import { parseCsr } from '../../../src/pki/csr.ts'
import { createRoot, issueIntermediate } from '../../../src/pki/issue.ts'
import { parsePrivateKey } from '../../../src/pki/keys.ts'

export const MESH = 'bench'
export const CLUSTER = 'east'
export const NAMESPACE = 'shop'
/** All pods are of one Deployment. */
const OWNER = [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'app-6d5f7c8b9d', uid: 'bench', controller: true }]
/** VirtualServices; each change takes its own. */
const RULES = 100
/** Requests under way at once while the world is filled. */
const WRITERS = 24

export interface Size {
  readonly services: number
  readonly endpoints: number
  readonly proxies: number
}

export const podName = (index: number): string => `app-${String(index).padStart(4, '0')}`
export const serviceName = (index: number): string => `service-${String(index).padStart(4, '0')}`
/** Never dialled. */
export const podIp = (index: number): string => `10.1.${Math.floor(index / 250)}.${1 + (index % 250)}`

export async function fill(client: KubeClient, size: Size): Promise<void> {
  await ensure(client, NAMESPACES, object('v1', 'Namespace', { name: SYSTEM_NAMESPACE }))
  await ensure(client, NAMESPACES, object('v1', 'Namespace', { name: NAMESPACE }))
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  for (const body of [...mcsCrds(), ...ownCrds(), ...standardCrds()]) await client.raw({ method: 'POST', path, body })
  // No controller runs that would make it.
  await makeServiceAccount(client, 'default', NAMESPACE)
  await each(size.proxies, (index) => makePod(client, index))
  const rules = Math.min(RULES, size.services - 1)
  await each(rules, async (index) => void (await client.create(VIRTUAL_SERVICES, virtualServiceOf(index, 10))))
  await each(size.services, async (index) => {
    const name = serviceName(index)
    await client.create(SERVICES, {
      ...object('v1', 'Service', { name, namespace: NAMESPACE }),
      spec: { selector: { none: 'by-hand' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    })
    await client.create(ENDPOINT_SLICES, sliceOf(index, size))
  })
}

/** The endpoints of a service: pods in turn, the first one first. */
export function sliceOf(index: number, { endpoints, proxies }: Size): EndpointSlice {
  const service = serviceName(index)
  const pods = Array.from({ length: endpoints }, (_, offset) => (index + offset * 7) % proxies)
  return {
    ...object('discovery.k8s.io/v1', 'EndpointSlice', {
      name: `${service}-a`,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': service },
    }),
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: pods.map((pod) => ({
      addresses: [podIp(pod)],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: 'Pod', name: podName(pod), namespace: NAMESPACE },
    })),
  }
}

/** Rules for the first services: two routes, of which changes move the weight. */
export function virtualServiceOf(index: number, weight: number): VirtualService {
  const host = serviceName(index)
  const other = serviceName(index + 1)
  return {
    ...object('networking.istio.io/v1', 'VirtualService', { name: host, namespace: NAMESPACE }),
    spec: {
      hosts: [host],
      http: [
        { match: [{ headers: { 'end-user': { exact: 'jason' } } }], route: [{ destination: { host: other } }] },
        {
          route: [
            { destination: { host }, weight: 100 - weight },
            { destination: { host: other }, weight },
          ],
        },
      ],
    },
  }
}

async function makePod(client: KubeClient, index: number): Promise<void> {
  const name = podName(index)
  const proxy = { name: 'isthmus-proxy', image: 'isthmus', ports: [{ containerPort: 15008, name: 'mesh' }] }
  await client.create(PODS, {
    ...object('v1', 'Pod', { name, namespace: NAMESPACE, labels: { app: 'bench' }, ownerReferences: OWNER }),
    spec: { serviceAccountName: 'default', containers: [{ name: 'app', image: 'app' }, proxy] },
  })
  const status = {
    phase: 'Running',
    podIP: podIp(index),
    podIPs: [{ ip: podIp(index) }],
    conditions: [{ type: 'Ready', status: 'True' }],
  }
  await client.patch(PODS, { name, namespace: NAMESPACE }, { status }, { type: 'merge', subresource: 'status' })
}

/** The token a proxy of this pod would find in its volume. */
export async function tokenOf(client: KubeClient, index: number): Promise<string> {
  const pod = await client.get(PODS, podName(index), NAMESPACE)
  return requestToken(client, NAMESPACE, 'default', {
    audiences: [CA_AUDIENCE],
    boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: podName(index), uid: pod?.metadata.uid },
  })
}

export async function requestToken(
  client: KubeClient,
  namespace: string,
  account: string,
  spec: Readonly<Record<string, unknown>>,
): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec }
  const answer = await client.raw<{ status: { token: string } }>({ method: 'POST', path, body })
  return answer.status.token
}

/** Federation's part: signs the intermediate that the control plane asked for. Undefined: it has not asked yet. */
export async function signTrust(client: KubeClient): Promise<true | undefined> {
  const request = await client.get(CONFIG_MAPS, OBJECTS.caRequest, SYSTEM_NAMESPACE)
  const parsed = request === undefined ? undefined : parseCsr(request.data?.['csr.pem'] ?? '')
  if (parsed?.ok !== true) return undefined
  const nowMs = Date.now()
  const root = createRoot({ mesh: MESH, nowMs })
  const trustDomain = trustDomainOf(CLUSTER, MESH)
  const intermediate = issueIntermediate({
    root: { certificatePem: root.certificatePem, key: parsePrivateKey(root.keyPem) },
    publicKey: parsed.csr.publicKey,
    trustDomain,
    nowMs,
  })
  await client.create(CONFIG_MAPS, {
    ...object('v1', 'ConfigMap', { name: OBJECTS.trust, namespace: SYSTEM_NAMESPACE }),
    data: {
      'intermediate.pem': intermediate,
      'bundle.json': formatBundle(new Map([[trustDomain, [root.certificatePem]]])),
    },
  })
  return true
}

export async function makeServiceAccount(
  client: KubeClient,
  name: string,
  namespace: string,
): Promise<{ readonly name: string; readonly namespace: string }> {
  const metadata = { name, namespace }
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts`
  await client.raw({ method: 'POST', path, body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata } })
  return metadata
}

async function ensure(client: KubeClient, resource: Resource<KubeObject>, wanted: KubeObject): Promise<void> {
  if ((await client.get(resource, wanted.metadata.name ?? '')) === undefined) await client.create(resource, wanted)
}

function object(apiVersion: string, kind: string, metadata: object): KubeObject {
  return { apiVersion, kind, metadata }
}

/** Runs `make` for 0 … count - 1, several at once. */
export async function each(count: number, make: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) await make(next++)
  }
  await Promise.all(Array.from({ length: WRITERS }, work))
}
