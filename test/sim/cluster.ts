/** One simulated cluster: an API server, two controllers that compete, and what its owner does by kubectl. */
import {
  CLUSTER_PEERS,
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  NAMESPACES,
  NODES,
  PODS,
  SECRETS,
  SERVICE_EXPORTS,
  SERVICES,
  type EndpointSlice,
  type ServiceExport,
} from '../../src/kube/kinds.ts'
import { SIDECAR_CONTAINER } from '../../src/kube/inject.ts'
import { KubeError } from '../../src/kube/client.ts'
import { ANNOTATIONS, OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { clusterPeer } from '../../federation/peers/members.ts'
import type { Random } from '../../src/runtime/random.ts'
import { ApiServer } from './api-server.ts'
import { bundleOf, materialsOf, MESH, root } from './material.ts'
import type { SimNetwork } from './network.ts'
import { Replica } from './replica.ts'
import { Truth } from './truth.ts'

export const NAMESPACE = 'shop'
export const PODS_MAX = 4
const READY_ANNOUNCED = 'isthmus.dev/gateway-address'

export interface SimClusterOptions {
  readonly name: string
  /** Everyone of the mesh, itself included. */
  readonly members: readonly string[]
  readonly signer: boolean
  readonly network: SimNetwork
  readonly random: Random
}

export class SimCluster {
  readonly name: string
  readonly server: ApiServer
  readonly truth: Truth
  readonly #options: SimClusterOptions
  readonly replicas: (Replica | undefined)[] = [undefined, undefined]
  /** Where the gateway leads streams: to the last that was elected. */
  leader: Replica | undefined
  gatewayUp = true
  #started = 0

  constructor(options: SimClusterOptions) {
    this.#options = options
    this.name = options.name
    const { network, random, members } = options
    this.server = new ApiServer(network.time, random, options.name)
    this.truth = new Truth(options.name, members)
    network.answers.set(this.name, () => this.gatewayUp)
    network.doors.set(this.name, () => {
      const { leader } = this
      if (leader === undefined || leader.process.dead || !this.gatewayUp) return undefined
      return { process: leader.process, accept: (from, channel) => leader.accept(from, channel) }
    })
  }

  async boot(): Promise<void> {
    await this.#seed()
    for (const index of this.replicas.keys()) this.start(index)
  }

  start(index: number): void {
    const { network, random } = this.#options
    const replica = new Replica({
      cluster: this.name,
      name: `${this.name}/federation-${this.#started++}`,
      server: this.server,
      network,
      random,
      skewMs: random.next() < 0.3 ? (random.next() - 0.5) * 1_200_000 : 0,
      onLeading: (leading) => {
        this.leader = leading
      },
    })
    this.replicas[index] = replica
  }

  kill(index: number): void {
    const replica = this.replicas[index]
    if (replica === undefined) return
    replica.process.kill()
    for (const stream of this.#options.network.streams) stream.processGone(replica.process)
    this.replicas[index] = undefined
  }

  // === what its owner does ===

  async export(name: string, ready: number, to: 'all' | readonly string[]): Promise<void> {
    const { store } = this.server
    const metadata = { name, namespace: NAMESPACE }
    const annotations = to === 'all' ? {} : { annotations: { [ANNOTATIONS.exportTo]: to.join(',') } }
    const object: ServiceExport = {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceExport',
      metadata: { ...metadata, ...annotations },
    }
    await this.scale(name, ready)
    const { uid = '' } = (await store.create(SERVICE_EXPORTS, object)).metadata
    this.truth.set(`${NAMESPACE}/${name}`, { uid, to, ready })
  }

  async unexport(name: string): Promise<void> {
    await this.server.store.remove(SERVICE_EXPORTS, { name, namespace: NAMESPACE })
    this.truth.set(`${NAMESPACE}/${name}`, undefined)
  }

  /** Ready pods, of four, over two zones. */
  async scale(name: string, ready: number): Promise<void> {
    const { store } = this.server
    const existing = await store.get(ENDPOINT_SLICES, `${name}-x`, NAMESPACE)
    const slice = this.#slice(name, ready)
    if (existing === undefined) await store.create(ENDPOINT_SLICES, slice)
    else {
      const { uid = '', resourceVersion = '' } = existing.metadata
      await store.replace(ENDPOINT_SLICES, { ...slice, metadata: { ...slice.metadata, uid, resourceVersion } })
    }
    const key = `${NAMESPACE}/${name}`
    const wanted = this.truth.get(key)
    if (wanted !== undefined) this.truth.set(key, { ...wanted, ready })
  }

  async restrict(name: string, to: 'all' | readonly string[]): Promise<void> {
    const annotations = { [ANNOTATIONS.exportTo]: to === 'all' ? null : to.join(',') }
    const target = { name, namespace: NAMESPACE }
    await this.server.store.patch(SERVICE_EXPORTS, target, { metadata: { annotations } }, { type: 'merge' })
    const key = `${NAMESPACE}/${name}`
    const wanted = this.truth.get(key)
    if (wanted !== undefined) this.truth.set(key, { ...wanted, to })
  }

  #slice(name: string, ready: number): EndpointSlice {
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-x`, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      endpoints: Array.from({ length: PODS_MAX }, (_, index) => ({
        addresses: [`10.1.0.${index + 1}`],
        conditions: { ready: index < ready },
        nodeName: `node-${index % 2 === 0 ? 'a' : 'b'}`,
        zone: index % 2 === 0 ? 'a' : 'b',
        targetRef: { kind: 'Pod', name: `${name}-${index}`, namespace: NAMESPACE },
      })),
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    }
  }

  async #seed(): Promise<void> {
    const { store } = this.server
    const { members, signer } = this.#options
    for (const name of [SYSTEM_NAMESPACE, NAMESPACE]) {
      await store.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    }
    for (const zone of ['a', 'b']) {
      const labels = { 'topology.kubernetes.io/region': this.name, 'topology.kubernetes.io/zone': zone }
      await store.create(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${zone}`, labels } })
    }
    await store.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: SYSTEM_ACCOUNTS.eastWest,
        namespace: SYSTEM_NAMESPACE,
        annotations: { [READY_ANNOUNCED]: gatewayOf(this.name) },
      },
      spec: { type: 'LoadBalancer', ports: [{ port: 15443 }] },
    })
    for (const name of SERVICE_NAMES) await this.#seedService(name)
    for (const peer of members.filter((each) => each !== this.name)) await this.addPeer(peer)
    await this.#seedTrust(signer)
  }

  async addPeer(peer: string): Promise<void> {
    const { members } = this.#options
    const member = {
      cluster: peer,
      trustDomain: materialsOf(peer).trustDomain,
      gateways: [gatewayOf(peer)],
      signer: peer === members[0],
    }
    await this.server.store.create(CLUSTER_PEERS, clusterPeer(member, MESH)).catch((error: unknown) => {
      // The signer may have been faster.
      if (!(error instanceof KubeError) || error.reason !== 'AlreadyExists') throw error
    })
  }

  async #seedService(name: string): Promise<void> {
    const { store } = this.server
    const metadata = { name, namespace: NAMESPACE }
    const ports = [{ name: 'http', port: 80, protocol: 'TCP' as const }]
    await store.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { type: 'ClusterIP', clusterIP: '10.0.0.1', ports },
    })
    for (let index = 0; index < PODS_MAX; index++) {
      await store.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `${name}-${index}`, namespace: NAMESPACE },
        spec: {
          containers: [{ name: 'app' }, { name: SIDECAR_CONTAINER }],
          serviceAccountName: name,
          nodeName: `node-${index % 2 === 0 ? 'a' : 'b'}`,
        },
      })
    }
    await this.scale(name, 0)
  }

  async #seedTrust(signer: boolean): Promise<void> {
    const { store } = this.server
    const { csrPem, intermediatePem } = materialsOf(this.name)
    const namespace = SYSTEM_NAMESPACE
    const configMap = (name: string, data: Record<string, string>): Promise<unknown> =>
      store.create(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data })
    await configMap(OBJECTS.caRequest, { 'csr.pem': csrPem })
    const bundle = bundleOf(this.#options.members)
    await configMap(OBJECTS.trust, { 'intermediate.pem': intermediatePem, 'bundle.json': bundle })
    if (!signer) return
    const data = { 'root.key': base64(root.keyPem), 'root.crt': base64(root.certificatePem) }
    await store.create(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: OBJECTS.root, namespace },
      data,
    })
  }
}

/** Services that exist everywhere; which of them are exported changes. */
export const SERVICE_NAMES = ['cart', 'catalog', 'checkout'] as const

export const gatewayOf = (cluster: string): string => `gateway.${cluster}.test:15443`

const base64 = (text: string): string => Buffer.from(text).toString('base64')
