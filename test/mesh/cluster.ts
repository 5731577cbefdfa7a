/**
 * What the worlds of world.ts and test/istio/mesh.ts are made of: Kubernetes objects become a snapshot, are translated
 * as the control plane does it, carried through the codec, and run by the proxies of the pods that have one.
 */
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { parseAllDocuments } from 'yaml'
import { listening, MESH, type Pod, World } from '../../gateways/testing/world.ts'
import { snapshotOf } from '../../src/controlplane/testing/snapshot-of.ts'
import { type ProxyRole, Translator } from '../../src/controlplane/translate/translator.ts'
import type { Snapshot } from '../../src/controlplane/observe/facts.ts'
import { CAPTURE_CONTAINER, SIDECAR_CONTAINER } from '../../src/kube/inject.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import type { ProxyConfig, ResourceKind } from '../../src/model/config.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../src/xds/codec/codec.ts'
import { tableOf } from '../../src/xds/encoded.ts'
import { SEND_ORDER } from '../../src/xds/resources.ts'

export const NAMESPACE = 'shop'
export const CLUSTER = 'east'

export class Cluster {
  readonly world: World
  readonly #translator = new Translator({ endpointIdKey: Buffer.from('test') })
  /** By namespace and name. */
  readonly #sidecars = new Map<string, Pod>()
  readonly #roles = new Map<string, ProxyRole>()

  constructor(clusters: readonly string[] = [CLUSTER]) {
    this.world = new World(clusters)
  }

  /** Its proxy runs what the pod of that name is to run. */
  sidecar(namespace: string, name: string, pod: Pod, role: ProxyRole = 'sidecar'): void {
    this.#sidecars.set(`${namespace}/${name}`, pod)
    this.#roles.set(`${namespace}/${name}`, role)
  }

  /** Every proxy runs what follows from the objects when it returns. */
  async run(objects: readonly KubeObject[], trusted: readonly string[] = [`${CLUSTER}.${MESH}`]): Promise<void> {
    const roots = rootsOf(this.world, trusted)
    const mesh = { mesh: MESH, cluster: CLUSTER, trustDomain: `${CLUSTER}.${MESH}`, domain: 'cluster.local' }
    await this.runSnapshot(snapshotOf({ mesh, roots, objects }))
  }

  async runSnapshot(snapshot: Snapshot): Promise<void> {
    for (const [key, { proxy }] of this.#sidecars) {
      const pod = snapshot.pods.get(key)
      const config = pod && this.#translator.translate(snapshot, { role: this.#roles.get(key) ?? 'sidecar', pod })
      if (config === undefined) throw new Error(`nothing for ${key}`)
      const { rejected } = proxy.apply(overTheWire(config))
      if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
    }
    for (const pod of this.#sidecars.values()) await listening(pod)
  }

  /** A server of bytes until the world ends. */
  async bytes(ip: string, port: number, accept: (server: Server) => void): Promise<void> {
    const server = createServer()
    accept(server)
    this.world.onClose(() => void server.close())
    server.listen(port, ip)
    await once(server, 'listening')
  }
}

export const rootsOf = ({ mesh }: World, trusted: readonly string[]): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(trusted.map((name) => [name, [mesh.root.certificatePem]]))

export const documentsOf = (yaml: string): KubeObject[] =>
  parseAllDocuments(yaml).flatMap((document) => (document.toJS() as KubeObject | null) ?? [])

export interface PodObjectInput {
  readonly name: string
  readonly namespace?: string
  readonly account?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly node?: string
  readonly ip: string
  readonly sidecar: boolean
  readonly captured: boolean
}

/** A ready pod as the API server has it. */
export function podObject(input: PodObjectInput): KubeObject {
  const { name, namespace = NAMESPACE, account = name, labels = { app: name }, node = 'node', ip } = input
  const image = 'any'
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: `uid-${namespace}-${name}`, labels },
    spec: {
      serviceAccountName: account,
      nodeName: node,
      ...(input.captured && { initContainers: [{ name: CAPTURE_CONTAINER, image }] }),
      containers: [{ name: 'app', image }, ...(input.sidecar ? [{ name: SIDECAR_CONTAINER, image }] : [])],
    },
    status: { phase: 'Running', podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
  } as KubeObject
}

export interface SliceInput {
  readonly service: string
  readonly namespace?: string
  readonly ports: readonly { readonly name: string; readonly port: number }[]
  readonly pods: readonly { readonly name: string; readonly ip: string; readonly node?: string }[]
}

/** What the EndpointSlice controller would write. */
export function sliceObject({ service, namespace = NAMESPACE, ports, pods }: SliceInput): KubeObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${service}-1`, namespace, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: ports.map(({ name, port }) => ({ name, port, protocol: 'TCP' })),
    endpoints: pods.map(({ name, ip, node = 'node' }) => ({
      addresses: [ip],
      // As a StatefulSet's pods have.
      hostname: name,
      conditions: { ready: true },
      nodeName: node,
      targetRef: { kind: 'Pod', name, namespace },
    })),
  } as KubeObject
}

/** As proxies get it from a control plane. */
function overTheWire(config: ProxyConfig): ProxyConfig {
  const tables = Object.fromEntries(SEND_ORDER.map((kind) => [kind, decoded(config, kind)]))
  return {
    clusters: tables['cluster'] as ProxyConfig['clusters'],
    endpoints: tables['endpoints'] as ProxyConfig['endpoints'],
    secrets: tables['secret'] as ProxyConfig['secrets'],
    listeners: tables['listener'] as ProxyConfig['listeners'],
    routes: tables['route'] as ProxyConfig['routes'],
  }
}

function decoded(config: ProxyConfig, kind: ResourceKind): ReadonlyMap<string, unknown> {
  const values = [...tableOf(config, kind)].map(([name, value]): [string, unknown] => {
    const found = decodeResource(kind, encodeResource({ kind, value } as ModelResource))
    if ('rejection' in found) throw new Error(JSON.stringify(found.rejection))
    return [name, found.value]
  })
  return new Map(values)
}
