/**
 * Clusters in one process for tests: the real federation code over in-memory API servers and real TLS sockets. What
 * stands in: the API server (MemoryClient), the gateway (Splicer) and the control plane's CA, which signs here as soon
 * as ConfigMap isthmus-trust brings its intermediate. Never imported by the product.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { X509Certificate, type KeyObject } from 'node:crypto'
import {
  CONFIG_MAPS,
  ENDPOINT_SLICES,
  NAMESPACES,
  NODES,
  PODS,
  SECRETS,
  SERVICE_EXPORTS,
  SERVICES,
  type ServiceExport,
} from '../../src/kube/kinds.ts'
import { SIDECAR_CONTAINER } from '../../src/kube/inject.ts'
import { MemoryClient } from '../../src/kube/testing/memory-client.ts'
import { trustDomainOf } from '../../src/model/identity.ts'
import { OBJECTS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { createCsr, parseCsr } from '../../src/pki/csr.ts'
import { createRoot, issueWorkload, type CreatedAuthority } from '../../src/pki/issue.ts'
import { createJoinToken, joinRecordData, joinTokensSecret } from '../../src/pki/join-token.ts'
import { generateKey, privateKeyPem } from '../../src/pki/keys.ts'
import { WorkloadIdentity } from '../../src/pki/workload-identity.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { MeshError } from '../../src/runtime/errors.ts'
import { createLog } from '../../src/runtime/log.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { parseCidr } from '../exports/virtual-ips.ts'
import { Mirror } from '../mirror.ts'
import { GatewayResolver } from '../peers/resolver.ts'
import { Term } from '../term.ts'
import { ClusterMaterial } from '../trust/cluster-material.ts'
import { healthGateway, Splicer, type HealthGateway } from './splicer.ts'

export const MESH = 'demo.mesh'
const clock = systemClock
const random = systemRandom
const LOG_LEVEL = 'silent'

export class World {
  readonly root: CreatedAuthority = createRoot({ mesh: MESH, nowMs: clock.now() })
  readonly #clusters: Cluster[] = []

  async cluster(name: string, options: { signer?: boolean } = {}): Promise<Cluster> {
    const cluster = new Cluster(name, options.signer === true ? this.root : undefined)
    this.#clusters.push(cluster)
    await cluster.boot()
    return cluster
  }

  async close(): Promise<void> {
    await Promise.all(this.#clusters.map((cluster) => cluster.close()))
  }
}

export class Cluster {
  readonly name: string
  readonly trustDomain: string
  readonly client = new MemoryClient()
  readonly splicer: Splicer
  readonly mirror: Mirror
  readonly leadership = { isLeader: true, epoch: 1 }
  readonly caKey: KeyObject = generateKey().privateKey
  readonly material: ClusterMaterial
  address = ''
  term: Term | undefined
  readonly #root: CreatedAuthority | undefined
  readonly #directory = mkdtempSync(join(tmpdir(), 'isthmus-federation-'))
  readonly #identity: WorkloadIdentity
  readonly #certified: Promise<unknown>
  #gateway: HealthGateway | undefined
  #closed = false

  constructor(name: string, root: CreatedAuthority | undefined) {
    this.name = name
    this.#root = root
    this.trustDomain = trustDomainOf(name, MESH)
    this.splicer = new Splicer({
      target: (role) => {
        if (role === 'gateway') return this.#gateway?.port
        return role === 'join' ? this.term?.ports?.join : this.term?.ports?.peer
      },
    })
    this.mirror = new Mirror({ client: this.client, clock, random, onError: () => {} })
    this.#identity = this.#createIdentity()
    const own = { cluster: name, mesh: MESH }
    this.material = new ClusterMaterial({ mirror: this.mirror, identity: this.#identity, own })
    this.#certified = this.material.hasTrust().then(async () => {
      await this.#identity.start()
      await this.#openGateway()
    })
  }

  async boot(): Promise<void> {
    this.address = await this.splicer.listen()
    await this.#seed()
    this.mirror.start()
    await this.mirror.synced()
    this.begin()
  }

  /** A new leader term, as after a restart: nothing is taken over in memory. */
  begin(): Term {
    const term = new Term({
      own: { cluster: this.name, mesh: MESH },
      client: this.client,
      mirror: this.mirror,
      leadership: this.leadership,
      material: this.material,
      certified: this.#certified,
      resolver: new GatewayResolver(undefined, random),
      cidr: parseCidr('240.0.0.0/16'),
      listen: { address: '127.0.0.1', peerPort: 0, joinPort: 0 },
      clock,
      random,
      log: createLog(this.name, LOG_LEVEL),
    })
    this.term = term
    term.start().catch((error: unknown) => {
      // A cluster that is taken down before its trust came never gets a certificate.
      if (this.#closed) return
      throw MeshError.from(error, 'INTERNAL', `term of ${this.name}`)
    })
    return term
  }

  async restart(): Promise<void> {
    await this.term?.stop()
    this.leadership.epoch += 1
    this.begin()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.term?.stop()
    this.#identity.stop()
    this.splicer.close()
    this.#gateway?.close()
    await this.mirror.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  // === what operators do ===

  /** `isthmus peers token`. */
  async token(cluster: string, changes: { ttlMs?: number; keySha256?: string } = {}): Promise<string> {
    if (this.#root === undefined) throw new MeshError('JOIN_NOT_SIGNER', this.name)
    const { text, record } = createJoinToken({
      mesh: MESH,
      issuer: this.name,
      cluster,
      gateways: [this.address],
      rootDer: new X509Certificate(this.#root.certificatePem).raw,
      nowMs: clock.now(),
      ...changes,
    })
    const exists = (await this.client.get(SECRETS, OBJECTS.joinTokens, SYSTEM_NAMESPACE)) !== undefined
    const target = { name: OBJECTS.joinTokens, namespace: SYSTEM_NAMESPACE }
    if (exists) await this.client.patch(SECRETS, target, { data: joinRecordData(record) }, { type: 'merge' })
    else await this.client.create(SECRETS, joinTokensSecret(record))
    return text
  }

  /** `isthmus peers join`. */
  async join(token: string): Promise<void> {
    await this.client.create(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: OBJECTS.join, namespace: SYSTEM_NAMESPACE },
      data: { token: Buffer.from(token).toString('base64') },
    })
  }

  /** A Service with `ready` of `total` pods in one zone, and its ServiceExport. */
  async export(name: string, pods: { ready: number; total?: number }): Promise<void> {
    const metadata = { name, namespace: 'shop' }
    await this.client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { type: 'ClusterIP', clusterIP: '10.0.0.1', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
    })
    await this.scale(name, pods)
    const serviceExport: ServiceExport = {
      apiVersion: 'multicluster.x-k8s.io/v1beta1',
      kind: 'ServiceExport',
      metadata,
    }
    await this.client.create(SERVICE_EXPORTS, serviceExport)
  }

  async scale(name: string, { ready, total = ready }: { ready: number; total?: number }): Promise<void> {
    const numbers = Array.from({ length: total }, (_, index) => index)
    for (const index of numbers) {
      const pod = `${name}-${index}`
      if ((await this.client.get(PODS, pod, 'shop')) !== undefined) continue
      await this.client.create(PODS, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: pod, namespace: 'shop' },
        spec: {
          containers: [{ name: 'app' }, { name: SIDECAR_CONTAINER }],
          serviceAccountName: name,
          nodeName: 'node-a',
        },
      })
    }
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-x`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4' as const,
      endpoints: numbers.map((index) => ({
        addresses: [`10.1.0.${index + 1}`],
        conditions: { ready: index < ready },
        nodeName: 'node-a',
        zone: 'a',
        targetRef: { kind: 'Pod', name: `${name}-${index}`, namespace: 'shop' },
      })),
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' as const }],
    }
    const existing = await this.client.get(ENDPOINT_SLICES, `${name}-x`, 'shop')
    if (existing === undefined) await this.client.create(ENDPOINT_SLICES, slice)
    else {
      const { resourceVersion = '', uid = '' } = existing.metadata
      await this.client.replace(ENDPOINT_SLICES, { ...slice, metadata: { ...slice.metadata, resourceVersion, uid } })
    }
  }

  async unexport(name: string): Promise<void> {
    await this.client.remove(SERVICE_EXPORTS, { name, namespace: 'shop' })
  }

  // === the control plane's part ===

  /** Any identity of this cluster, as its control plane would sign it. */
  async certificateFor(namespace: string, serviceAccount: string): Promise<{ key: string; cert: string }> {
    const { privateKey, publicKey } = generateKey()
    const trust = await this.client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)
    const certificatePem = trust?.data?.['intermediate.pem'] ?? ''
    const leaf = issueWorkload({
      authority: { certificatePem, key: this.caKey },
      publicKey,
      id: { trustDomain: this.trustDomain, namespace, serviceAccount },
      nowMs: clock.now(),
    })
    return { key: privateKeyPem(privateKey), cert: leaf + certificatePem }
  }

  #createIdentity(): WorkloadIdentity {
    const id = {
      trustDomain: this.trustDomain,
      namespace: SYSTEM_NAMESPACE,
      serviceAccount: SYSTEM_ACCOUNTS.federation,
    }
    return new WorkloadIdentity({
      id,
      directory: this.#directory,
      request: async (csrPem) => {
        const csr = parseCsr(csrPem)
        const trust = await this.client.get(CONFIG_MAPS, OBJECTS.trust, SYSTEM_NAMESPACE)
        const certificatePem = trust?.data?.['intermediate.pem'] ?? ''
        if (!csr.ok) throw new MeshError('CERTIFICATE_REFUSED', csr.reason)
        const authority = { certificatePem, key: this.caKey }
        return [issueWorkload({ authority, publicKey: csr.csr.publicKey, id, nowMs: clock.now() }), certificatePem]
      },
    })
  }

  async #openGateway(): Promise<void> {
    const tls = await this.certificateFor(SYSTEM_NAMESPACE, SYSTEM_ACCOUNTS.eastWest)
    this.#gateway = await healthGateway({ ...tls, ca: this.material.roots().join('') })
  }

  async #seed(): Promise<void> {
    for (const name of [SYSTEM_NAMESPACE, 'shop']) {
      await this.client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    }
    await this.client.create(NODES, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: 'node-a',
        labels: { 'topology.kubernetes.io/region': this.name, 'topology.kubernetes.io/zone': 'a' },
      },
      spec: { providerID: 'aws:///a/node-a' },
    })
    await this.client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: SYSTEM_ACCOUNTS.eastWest,
        namespace: SYSTEM_NAMESPACE,
        annotations: { 'isthmus.dev/gateway-address': this.address },
      },
      spec: { type: 'LoadBalancer', ports: [{ port: 15443 }] },
    })
    await this.client.create(CONFIG_MAPS, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: OBJECTS.caRequest, namespace: SYSTEM_NAMESPACE },
      data: { 'csr.pem': createCsr(this.caKey, { uri: `spiffe://${this.trustDomain}` }) },
    })
    if (this.#root === undefined) return
    const data = { 'root.key': this.#root.keyPem, 'root.crt': this.#root.certificatePem }
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
    await this.client.create(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: OBJECTS.root, namespace: SYSTEM_NAMESPACE },
      data: Object.fromEntries(encoded) as Record<string, string>,
    })
  }
}
