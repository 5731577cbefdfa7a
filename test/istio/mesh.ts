/**
 * A cluster in one process for tests of what Istio's documents do: Kubernetes objects in YAML are read and translated as
 * the control plane does it, carried through the codec, and run by real proxies over real sockets; requests show the
 * effect. No API server: admission is not here.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { parseAllDocuments } from 'yaml'
import {
  ask,
  type Answer,
  freshIp,
  listening,
  MESH,
  mtlsEndpoint,
  type Pod,
  World,
} from '../../gateways/testing/world.ts'
import { snapshotOf } from '../../src/controlplane/testing/snapshot-of.ts'
import { Translator } from '../../src/controlplane/translate/translator.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import type { ProxyConfig } from '../../src/model/config.ts'
import { formatSpiffeId } from '../../src/model/identity.ts'
import { startProxy } from '../../src/proxy/proxy.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../src/xds/codec/codec.ts'
import { tableOf } from '../../src/xds/encoded.ts'
import { SEND_ORDER } from '../../src/xds/resources.ts'
import pino from 'pino'

/** Where applications listen. */
export const APP_PORT = 8_080
export const TCP_PORT = 9_000
const CLUSTER = 'east'

export interface PodOptions {
  readonly namespace?: string
  readonly account?: string
  readonly labels?: Readonly<Record<string, string>>
  /** Absent: it has one, and the kernel leads what comes to it. */
  readonly sidecar?: false
}

export interface Workload extends Pod {
  readonly namespace: string
  readonly name: string
}

export interface PlainOptions {
  readonly method?: string
  readonly headers?: Record<string, string>
  /** The client's address. */
  readonly from?: string
  readonly port?: number
}

/** What an application saw of a request. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

export class Mesh {
  readonly world = new World([CLUSTER, 'west', 'europe'])
  readonly seen: Seen[] = []
  /** Lines of access logs that configurations ask for, by sink. */
  readonly lines: string[] = []
  readonly #translator = new Translator({ endpointIdKey: Buffer.from('test') })
  readonly #workloads: Workload[] = []
  readonly #own: KubeObject[] = []
  #applied: readonly KubeObject[] = []
  #random = 1

  close(): Promise<void> {
    return this.world.close()
  }

  /** A pod of the cluster; its configuration comes with `apply`. */
  pod(name: string, options: PodOptions = {}): Workload {
    const { namespace = 'shop', account = name, labels = { app: name }, sidecar } = options
    const ip = freshIp()
    this.#own.push({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, uid: `uid-${namespace}-${name}`, labels },
      spec: {
        serviceAccountName: account,
        nodeName: 'n',
        ...(sidecar !== false && { initContainers: [{ name: 'isthmus-init' }] }),
        containers: [{ name: 'app' }, ...(sidecar === false ? [] : [{ name: 'isthmus-proxy' }])],
      },
      status: { phase: 'Running', podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
    } as KubeObject)
    const workload = { ...this.#proxy(ip, { name, namespace, account }), namespace, name }
    if (sidecar !== false) this.#workloads.push(workload)
    return workload
  }

  #proxy(ip: string, { name, namespace, account }: { name: string; namespace: string; account: string }): Pod {
    const { trustDomain } = this.world.mesh.cluster(CLUSTER)
    const records: Record<string, unknown>[] = []
    const proxy = startProxy({
      podIp: ip,
      own: { cluster: CLUSTER, namespace, workload: name, version: 'v1', region: '', zone: '' },
      trustDomain,
      identity: this.world.identity(CLUSTER, account, namespace),
      clock: systemClock,
      random: seededRandom(++this.#random),
      log: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
      accessLog: (lines) => {
        for (const line of lines.toString().trim().split('\n'))
          records.push(JSON.parse(line) as Record<string, unknown>)
      },
      openLog: () => ({
        write: (lines: string) => void this.lines.push(...lines.trim().split('\n')),
        reopen: () => {},
        close: () => {},
      }),
      lookup: undefined,
      // As if the kernel had led the connection here; which port it wanted is known by the client's address.
      originalDestination: (socket) => ({
        address: ip,
        port: this.#wanted.get(socket.remoteAddress ?? '') ?? APP_PORT,
      }),
    })
    this.world.onClose(() => proxy.close())
    const uri = formatSpiffeId({ trustDomain, namespace, serviceAccount: account })
    return { ip, cluster: CLUSTER, workload: name, proxy, records, uri, id: name }
  }

  readonly #wanted = new Map<string, number>()

  /** A Service with its endpoints; `pods` are behind it, ports lead to the same numbers unless `targets` say otherwise. */
  service(
    name: string,
    pods: readonly Workload[],
    ports: readonly { name: string; port: number; target?: number }[] = [{ name: 'http', port: 80, target: APP_PORT }],
  ): void {
    const [first] = pods
    const namespace = first?.namespace ?? 'shop'
    this.#own.push(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace },
        spec: {
          selector: { app: first?.name ?? name },
          ports: ports.map(({ name: port, port: number, target }) => ({
            name: port,
            port: number,
            targetPort: target ?? number,
          })),
        },
      } as KubeObject,
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: ports.map(({ name: port, port: number, target }) => ({ name: port, port: target ?? number })),
        endpoints: pods.map((pod) => ({
          addresses: [pod.ip],
          conditions: { ready: true },
          nodeName: 'n',
          targetRef: { kind: 'Pod', name: pod.name },
        })),
      } as KubeObject,
    )
  }

  /** The pod's application; it answers 200 with what it saw, unless told otherwise. */
  async app(pod: Pod, answer?: (seen: Seen, response: ServerResponse) => void, port = APP_PORT): Promise<void> {
    const server = createServer((request, response) => {
      const seen = { method: request.method ?? '', url: request.url ?? '', headers: request.headers }
      this.seen.push(seen)
      if (answer === undefined) response.end(JSON.stringify(seen))
      else answer(seen, response)
    })
    server.listen(port, pod.ip)
    await once(server, 'listening')
    this.world.onClose(() => {
      server.closeAllConnections()
      server.close()
    })
  }

  /** Says `hello` to whoever connects, before it hears a byte. */
  async greeter(pod: Pod, port = TCP_PORT): Promise<void> {
    const server = createTcpServer((socket) => socket.on('error', () => {}).end('hello'))
    server.listen(port, pod.ip)
    await once(server, 'listening')
    this.world.onClose(() => void server.close())
  }

  /** Everything that people wrote, instead of what was applied before. */
  async apply(yaml: string): Promise<void> {
    const documents = parseAllDocuments(yaml).map((document) => document.toJS() as KubeObject | null)
    this.#applied = documents.filter((object) => object !== null).map(stamped)
    const { trustDomain } = this.world.mesh.cluster(CLUSTER)
    const snapshot = snapshotOf({
      mesh: { mesh: MESH, cluster: CLUSTER, trustDomain, domain: 'cluster.local' },
      objects: [...this.#own, ...this.#applied],
      roots: Object.fromEntries(
        this.world.allTrustDomains().map((name) => [name, [this.world.mesh.root.certificatePem]]),
      ),
    })
    for (const workload of this.#workloads) {
      const pod = snapshot.pods.get(`${workload.namespace}/${workload.name}`)
      const config = pod && this.#translator.translate(snapshot, { role: 'sidecar', pod })
      if (config === undefined) throw new Error(`nothing for ${workload.name}`)
      const { rejected } = workload.proxy.apply(carried(config))
      if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
    }
    await Promise.all(this.#workloads.map((workload) => listening(workload)))
  }

  /** A request of the pod's application. */
  ask(from: Workload, url: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
    return ask(from, url, options)
  }

  /** A request without mTLS at the pod's own port, as the kernel would lead it. */
  plain(
    to: Workload,
    path: string,
    { method = 'GET', headers = {}, from = freshIp(), port = APP_PORT }: PlainOptions = {},
  ): Promise<Answer> {
    this.#wanted.set(from, port)
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          host: to.ip,
          port: 15_006,
          localAddress: from,
          path,
          method,
          headers: { host: to.name, ...headers },
          agent: false,
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
          )
        },
      )
      request.on('error', reject)
      request.end()
    })
  }

  /** Bytes without mTLS at the pod's own port: what was heard until the end; undefined: the connection was refused. */
  plainBytes(to: Workload, port = TCP_PORT): Promise<string | undefined> {
    return new Promise((resolve) => {
      const localAddress = freshIp()
      this.#wanted.set(localAddress, port)
      const socket = connect({ host: to.ip, port: 15_006, localAddress })
      let heard = ''
      socket.on('data', (chunk: Buffer) => void (heard += chunk.toString()))
      socket.on('error', () => resolve(undefined))
      socket.on('close', () => resolve(heard === '' ? undefined : heard))
    })
  }

  /** A caller of another cluster, past its gateway: what it sends arrives with its own identity. */
  peer(cluster: string, account: string, to: Workload, namespace = 'shop'): Pod {
    const caller = this.world.pod(cluster, account, { identity: this.world.identity(cluster, account, namespace) })
    const config = this.world.sidecarConfig(caller, {
      services: [{ name: to.name, domain: 'clusterset.local', endpoints: [[mtlsEndpoint(to)]], identities: [to.uri] }],
    })
    caller.proxy.apply(config)
    return caller
  }
}

/** As an API server stores it: in a namespace, and each a second after the one before. */
function stamped(object: KubeObject, index: number): KubeObject {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString()
  return { ...object, metadata: { namespace: 'shop', creationTimestamp, ...object.metadata } }
}

/** As proxies get it from a control plane. */
function carried(config: ProxyConfig): ProxyConfig {
  const kinds = SEND_ORDER.map((kind) => {
    const table = new Map<string, unknown>()
    for (const [name, value] of tableOf(config, kind)) {
      const decoded = decodeResource(kind, encodeResource({ kind, value } as ModelResource))
      if ('rejection' in decoded) throw new Error(JSON.stringify(decoded.rejection))
      table.set(name, decoded.value)
    }
    return [kind, table] as const
  })
  const tables = Object.fromEntries(kinds) as Record<(typeof SEND_ORDER)[number], Map<string, never>>
  return {
    listeners: tables.listener,
    routes: tables.route,
    clusters: tables.cluster,
    endpoints: tables.endpoints,
    secrets: tables.secret,
  }
}
