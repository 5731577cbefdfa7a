/**
 * A cluster in one process for tests of what Istio's security and telemetry documents do: requests of real proxies over
 * real sockets show the effect, also of those that come without mTLS and from peers. Admission is not here.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { answered } from '../../gateways/testing/ask.ts'
import { ask, type Answer, freshIp, mtlsEndpoint, type Pod } from '../../gateways/testing/world.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { TRUST_BUNDLE } from '../../src/model/config.ts'
import { PORTS } from '../../src/model/ports.ts'
import { ApiSource } from '../mesh/api.ts'
import { Cluster, CLUSTER, documentsOf, NAMESPACE, podObject, rootsOf, sliceObject } from '../mesh/cluster.ts'

/** Where applications listen. */
export const APP_PORT = 8_080
export const TCP_PORT = 9_000

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
  readonly #cluster = new Cluster([CLUSTER, 'west', 'europe'])
  readonly world = this.#cluster.world
  readonly seen: Seen[] = []
  /** Lines of access logs that configurations ask for, by sink. */
  readonly lines: string[] = []
  readonly #own: KubeObject[] = []
  #api: ApiSource | undefined
  /** Which port a captured connection wanted, by its client's address. */
  readonly #wanted = new Map<string, number>()

  close(): Promise<void> {
    return this.world.close()
  }

  /** A pod of the cluster; its configuration comes with `apply`. */
  pod(name: string, options: PodOptions = {}): Workload {
    const { namespace = NAMESPACE, account = name, labels = { app: name } } = options
    const sidecar = options.sidecar !== false
    const pod = this.world.pod(CLUSTER, name, {
      namespace,
      account,
      openLog: () => ({
        write: (lines: string) => void this.lines.push(...lines.trim().split('\n')),
        reopen: () => {},
        close: () => {},
      }),
      // As if the kernel had led the connection here.
      originalDestination: (socket) => ({
        address: pod.ip,
        port: this.#wanted.get(socket.remoteAddress ?? '') ?? APP_PORT,
      }),
    })
    this.#own.push(podObject({ name, namespace, account, labels, ip: pod.ip, sidecar, captured: sidecar }))
    if (sidecar) this.#cluster.sidecar(namespace, name, pod)
    return { ...pod, namespace, name }
  }

  /** A Service with its endpoints; `pods` are behind it, ports lead to the same numbers unless `targets` say otherwise. */
  service(
    name: string,
    pods: readonly Workload[],
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
          selector: { app: first?.name ?? name },
          ports: ports.map(({ name: port, port: number, target }) => ({
            name: port,
            port: number,
            targetPort: target ?? number,
          })),
        },
      } as KubeObject,
      sliceObject({
        service: name,
        namespace,
        ports: ports.map(({ name: port, port: number, target }) => ({ name: port, port: target ?? number })),
        pods,
      }),
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
  greeter(pod: Pod, port = TCP_PORT): Promise<void> {
    return this.#cluster.bytes(pod.ip, port, (server) => {
      server.on('connection', (socket) => socket.on('error', () => {}).end('hello'))
    })
  }

  /** From now on documents go through an API server, as they do for everyone else. */
  async useApi(): Promise<ApiSource> {
    const api = await ApiSource.start()
    this.world.onClose(() => api.close())
    this.#api = api
    return api
  }

  /** Everything that people wrote, instead of what was applied before. */
  async apply(yaml: string): Promise<void> {
    if (this.#api !== undefined) return this.#applyThrough(this.#api, yaml)
    const applied = documentsOf(yaml).map(stamped)
    return this.#cluster.run([...this.#own, ...applied], this.world.allTrustDomains())
  }

  async #applyThrough(api: ApiSource, yaml: string): Promise<void> {
    const named = documentsOf(yaml).map(inNamespace)
    await api.replace(this.#own, named)
    await this.runPresent(api)
  }

  /** What the API server holds now, also of what others wrote there. */
  async runPresent({ observer }: ApiSource): Promise<void> {
    const { snapshot } = observer
    if (snapshot === undefined) throw new Error('nothing was observed')
    const roots = rootsOf(this.world, this.world.allTrustDomains())
    const trust = { name: TRUST_BUNDLE, roots, revokedTrustDomains: [], revokedIssuers: [] }
    await this.#cluster.runSnapshot({ ...snapshot, trust })
  }

  /** A request of the pod's application. */
  ask(from: Pod, url: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
    return ask(from, url, options)
  }

  /** What a client of that address dials is led here as if it had wanted the port. */
  wants(from: string, port: number): void {
    this.#wanted.set(from, port)
  }

  /** A request without mTLS at the pod's own port, as the kernel would lead it. */
  plain(
    to: Workload,
    path: string,
    { method = 'GET', headers = {}, from = freshIp(), port = APP_PORT }: PlainOptions = {},
  ): Promise<Answer> {
    this.#wanted.set(from, port)
    const address = { host: to.ip, port: PORTS.inbound, localAddress: from }
    return answered({ ...address, path, method, headers: { host: to.name, ...headers }, agent: false })
  }

  /** Bytes without mTLS at the pod's own port: what was heard until the end; undefined: the connection was refused. */
  plainBytes(to: Workload, port = TCP_PORT): Promise<string | undefined> {
    return new Promise((resolve) => {
      const localAddress = freshIp()
      this.#wanted.set(localAddress, port)
      const socket = connect({ host: to.ip, port: PORTS.inbound, localAddress })
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

function inNamespace(object: KubeObject): KubeObject {
  return { ...object, metadata: { namespace: NAMESPACE, ...object.metadata } }
}

/** As an API server stores it: in a namespace, and each a second after the one before. */
function stamped(object: KubeObject, index: number): KubeObject {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString()
  return { ...object, metadata: { namespace: NAMESPACE, creationTimestamp, ...object.metadata } }
}
