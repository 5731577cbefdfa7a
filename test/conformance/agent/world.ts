/**
 * A cluster in one process whose sidecars are real Envoys and proxies of ours: Kubernetes objects in YAML, translated and
 * served over ADS, the agent as it runs in pods, and requests over real sockets. No API server and no kernel's capture.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { parseAllDocuments } from 'yaml'
import pino from 'pino'
import { ask, type Answer, freshIp, MESH, ownCertificate, World } from '../../../gateways/testing/world.ts'
import { startAgent, type Agent } from '../../../src/agent/agent.ts'
import { type AdsProtocol, envoyBootstrap, nodeId, type NodeFacts } from '../../../src/agent/bootstrap.ts'
import { EnvoyAdmin } from '../../../src/agent/envoy-admin.ts'
import { EnvoyProcess } from '../../../src/agent/envoy-process.ts'
import { peerEnvironment } from '../../../src/agent/peer.ts'
import { socketPath } from '../../../src/agent/socket.ts'
import { parseNodeId, type ProxyClient, Push, sidecarRole } from '../../../src/controlplane/push.ts'
import { snapshotOf } from '../../../src/controlplane/testing/snapshot-of.ts'
import { Translator } from '../../../src/controlplane/translate/translator.ts'
import type { KubeObject } from '../../../src/kube/object.ts'
import { PORTS } from '../../../src/model/ports.ts'
import type { IdentitySource, OwnCertificate } from '../../../src/proxy/identity.ts'
import { startProxy } from '../../../src/proxy/proxy.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { seededRandom, systemRandom } from '../../../src/runtime/random.ts'
import { createAdsClient } from '../../../src/xds/client.ts'
import { type AdsServer, createAdsServer } from '../../../src/xds/server.ts'
import { envoyBinary } from '../envoy/binary.ts'

export const APP_PORT = 8_080
export const CLUSTER = 'east'
export const NAMESPACE = 'shop'

/** What runs beside the application. */
export type SidecarKind = 'envoy' | 'ours' | 'none'

export interface PodOptions {
  readonly namespace?: string
  readonly account?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly protocol?: AdsProtocol
}

export interface TestPod {
  readonly name: string
  readonly namespace: string
  readonly ip: string
  readonly kind: SidecarKind
  readonly identity: RenewableIdentity
  /** Lines of our proxy's access log. */
  readonly records: Record<string, unknown>[]
  /** Of an Envoy. */
  readonly admin: EnvoyAdmin
  agent?: Agent
}

export interface Seen {
  readonly pod: string
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' })

/** An identity whose next certificate comes when a test says so. */
export class RenewableIdentity implements IdentitySource {
  #current: OwnCertificate
  readonly #make: () => OwnCertificate
  readonly #listeners = new Set<(certificate: OwnCertificate) => void>()

  constructor(make: () => OwnCertificate) {
    this.#make = make
    this.#current = make()
  }

  current(): OwnCertificate {
    return this.#current
  }

  onChange(listener: (certificate: OwnCertificate) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  renew(): void {
    this.#current = this.#make()
    for (const listener of this.#listeners) listener(this.#current)
  }
}

export class SidecarWorld {
  readonly world = new World([CLUSTER, 'west', 'europe'])
  readonly seen: Seen[] = []
  readonly ads: AdsServer<ProxyClient>
  readonly directory = mkdtempSync(join(tmpdir(), 'iag-'))
  readonly #grpc = new Server()
  readonly #push: Push
  readonly #own: KubeObject[] = []
  readonly #pods: TestPod[] = []
  #port = 0
  #version = 0
  #applied: readonly KubeObject[] = []

  constructor() {
    const translator = new Translator({ endpointIdKey: Buffer.from('test') })
    this.#push = new Push(() => translator)
    this.ads = createAdsServer<ProxyClient>({
      authenticate: (_, node) => {
        const found = parseNodeId(node.id)
        if (found === undefined)
          return Promise.resolve({ ok: false, code: 'permission-denied', reason: 'no such node' })
        const role = node.metadata['ROLE'] === 'agent' ? 'agent' : sidecarRole(node)
        const { namespace, pod } = found
        return Promise.resolve({ ok: true, client: { ...found, podUid: `uid-${namespace}-${pod}`, role } })
      },
      configFor: (client) => this.#push.configFor(client),
      clock: systemClock,
      log,
      coalesceMs: 5,
    })
    this.ads.register(this.#grpc)
    this.world.onClose(() => rmSync(this.directory, { recursive: true, force: true }))
    this.world.onClose(() => {
      this.ads.close()
      this.#grpc.forceShutdown()
    })
  }

  async listen(): Promise<void> {
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
  }

  close(): Promise<void> {
    return this.world.close()
  }

  /** A pod; its sidecar starts with `start`. */
  pod(name: string, kind: SidecarKind, options: PodOptions = {}): TestPod {
    const { namespace = NAMESPACE, account = name, labels = { app: name } } = options
    const ip = freshIp()
    this.#own.push({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, uid: `uid-${namespace}-${name}`, labels },
      spec: {
        serviceAccountName: account,
        nodeName: 'n',
        containers: [{ name: 'app' }, ...(kind === 'none' ? [] : [{ name: 'isthmus-proxy' }])],
      },
      status: { phase: 'Running', podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
    } as KubeObject)
    const cluster = this.world.mesh.cluster(CLUSTER)
    const id = { trustDomain: cluster.trustDomain, namespace, serviceAccount: account }
    const identity = new RenewableIdentity(() =>
      ownCertificate(cluster.workload(id), id, systemClock.now() + 86_400_000),
    )
    const pod: TestPod = { name, namespace, ip, kind, identity, records: [], admin: new EnvoyAdmin(ip, PORTS.admin) }
    this.#pods.push(pod)
    this.#protocols.set(pod, options.protocol ?? 'delta')
    return pod
  }

  readonly #protocols = new Map<TestPod, AdsProtocol>()

  service(
    name: string,
    pods: readonly TestPod[],
    ports: readonly { name: string; port: number; target?: number }[] = [{ name: 'http', port: 80, target: APP_PORT }],
  ): void {
    const [first] = pods
    const namespace = first?.namespace ?? NAMESPACE
    this.#own.push(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: {
          selector: { app: name },
          ports: ports.map((each) => ({ name: each.name, port: each.port, targetPort: each.target ?? each.port })),
        },
      } as KubeObject,
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: ports.map((each) => ({ name: each.name, port: each.target ?? each.port })),
        endpoints: pods.map((pod) => ({
          addresses: [pod.ip],
          conditions: { ready: true },
          nodeName: 'n',
          targetRef: { kind: 'Pod', name: pod.name },
        })),
      } as KubeObject,
    )
  }

  /** The pod's application, over HTTP/1.1 alone; it answers 200 with what it saw, unless told otherwise. */
  async app(pod: TestPod, answer?: (seen: Seen, response: ServerResponse) => void): Promise<void> {
    const server = createServer((request, response) => {
      const { method = '', url = '', headers } = request
      const seen = { pod: pod.name, method, url, headers }
      this.seen.push(seen)
      if (answer === undefined) response.end(JSON.stringify(seen))
      else answer(seen, response)
    })
    server.listen(APP_PORT, pod.ip)
    await once(server, 'listening')
    this.world.onClose(() => {
      server.closeAllConnections()
      server.close()
    })
  }

  /** Everything that people wrote, instead of what was applied before; `objects`: what is not theirs. */
  apply(yaml = '', objects: readonly KubeObject[] = []): void {
    const documents = parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject | null)
    this.#applied = [...documents.filter((object) => object !== null).map(stamped), ...objects]
    const { trustDomain } = this.world.mesh.cluster(CLUSTER)
    this.#version += 1
    this.#push.set({
      ...snapshotOf({
        mesh: { mesh: MESH, cluster: CLUSTER, trustDomain, domain: 'cluster.local' },
        objects: [...this.#own, ...this.#applied],
        roots: Object.fromEntries(
          this.world.allTrustDomains().map((name) => [name, [this.world.mesh.root.certificatePem]]),
        ),
      }),
      version: this.#version,
    })
    this.ads.notify()
  }

  /** Starts every sidecar that does not run yet, and waits until each serves. */
  async start(): Promise<void> {
    const started = this.#pods.filter((pod) => !this.#running.has(pod) && pod.kind !== 'none')
    await Promise.all(
      started.map((pod) => {
        this.#running.add(pod)
        return pod.kind === 'envoy' ? this.#startEnvoy(pod) : this.#startOurs(pod)
      }),
    )
    await this.synced()
  }

  readonly #running = new Set<TestPod>()

  /** Every proxy has acknowledged what it was sent; rejects with what one refused. */
  async synced(): Promise<void> {
    const endsAt = systemClock.monotonic() + 20_000
    for (;;) {
      const all = this.ads.status()
      const nacks = all.flatMap(({ node, kinds }) =>
        Object.entries(kinds).flatMap(([kind, { nack }]) =>
          nack === undefined ? [] : [`${node} ${kind}: ${nack.message}`],
        ),
      )
      if (nacks.length > 0) throw new Error(nacks.join('\n'))
      const wanted = this.#running.size
      const proxies = all.filter(({ client }) => client.role !== 'agent')
      const isNews = all.every(({ version, synced }) => synced && version === String(this.#version))
      if (proxies.length >= wanted && isNews) return
      if (systemClock.monotonic() > endsAt) throw new Error(`not synced: ${JSON.stringify(all, undefined, 1)}`)
      await new Promise<void>((resolve) => systemClock.after(20, resolve))
    }
  }

  #facts({ name, namespace, ip, identity }: TestPod): NodeFacts {
    return {
      podName: name,
      podNamespace: namespace,
      podIp: ip,
      serviceAccount: identity.current().id.serviceAccount,
      cluster: CLUSTER,
      mesh: MESH,
      workload: name,
      version: 'v1',
      region: '',
      zone: '',
      labels: {},
    }
  }

  async #startEnvoy(pod: TestPod): Promise<void> {
    const facts = this.#facts(pod)
    const directory = join(this.directory, pod.name)
    const agent = await startAgent({
      id: pod.identity.current().id,
      identity: pod.identity,
      server: { address: `127.0.0.1:${this.#port}`, open: { tls: undefined, authority: '' } },
      node: { id: nodeId(facts), cluster: CLUSTER, metadata: { ROLE: 'agent' } },
      directory,
      clock: systemClock,
      random: systemRandom,
      log,
    })
    pod.agent = agent
    const config = join(directory, 'envoy.json')
    const protocol = this.#protocols.get(pod) ?? 'delta'
    writeFileSync(config, JSON.stringify(envoyBootstrap({ facts, protocol, socket: socketPath(directory, '/') })))
    const envoy = new EnvoyProcess(
      {
        program: envoyBinary() ?? '',
        searchPath: '',
        config,
        cwd: directory,
        logLevel: process.env['ENVOY_LOG'] ?? 'error',
        concurrency: 1,
        drainMs: 1_000,
      },
      { ...process.env, ...peerEnvironment(facts) },
    )
    const ended = { is: false }
    void envoy.ended.then(() => (ended.is = true))
    this.world.onClose(async () => {
      await envoy.drain(pod.admin, systemClock)
      agent.close()
    })
    const endsAt = systemClock.monotonic() + 20_000
    while (!(await pod.admin.isReady())) {
      if (ended.is) throw new Error(`the Envoy of ${pod.name} ended`)
      if (systemClock.monotonic() > endsAt) throw new Error(`the Envoy of ${pod.name} is not ready`)
      await new Promise<void>((resolve) => systemClock.after(50, resolve))
    }
  }

  async #startOurs(pod: TestPod): Promise<void> {
    const { trustDomain } = this.world.mesh.cluster(CLUSTER)
    const facts = this.#facts(pod)
    const proxy = startProxy({
      podIp: pod.ip,
      own: { cluster: CLUSTER, namespace: pod.namespace, workload: pod.name, version: 'v1', region: '', zone: '' },
      trustDomain,
      identity: pod.identity,
      clock: systemClock,
      random: seededRandom(this.#pods.indexOf(pod) + 1),
      log,
      accessLog: (lines) => {
        for (const line of lines.toString().trim().split('\n')) {
          pod.records.push(JSON.parse(line) as Record<string, unknown>)
        }
      },
      lookup: undefined,
    })
    this.world.onClose(() => proxy.close())
    let first: () => void = () => {}
    const configured = new Promise<void>((resolve) => (first = resolve))
    const client = createAdsClient({
      address: `127.0.0.1:${this.#port}`,
      open: { tls: undefined, authority: '' },
      node: { id: nodeId(facts), cluster: CLUSTER, metadata: { ROLE: 'sidecar' } },
      clock: systemClock,
      random: systemRandom,
      log,
      onConfig: (next) => {
        const { rejected } = proxy.apply(next)
        first()
        return rejected
      },
    })
    this.world.onClose(() => client.close())
    await client.start()
    await configured
  }

  /** A request of the pod's application, by the explicit proxy. */
  ask(from: TestPod, url: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
    return ask(from, url, options)
  }
}

/** As an API server stores it: in a namespace, and each a second after the one before. */
function stamped(object: KubeObject, index: number): KubeObject {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString()
  return { ...object, metadata: { namespace: NAMESPACE, creationTimestamp, ...object.metadata } }
}
