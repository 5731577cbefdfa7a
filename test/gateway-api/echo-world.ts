/**
 * A cluster in one process for tests of the Gateway API: two versions of an echo service and clients in two namespaces,
 * with real proxies. Requests go by address, as the kernel leads connections to sidecars, or by name through the
 * explicit HTTP proxy. No API server: admission's rules are asked in place.
 */
import { connect as connectH2, createServer as createH2Server } from 'node:http2'
import { connect, type Server } from 'node:net'
import { once } from 'node:events'
import { type Answer, answered, ask } from '../../gateways/testing/ask.ts'
import { freshIp, type Pod } from '../../gateways/testing/world.ts'
import { adviseObject } from '../../src/kube/advice/advise.ts'
import { celRuleFlaws } from '../../src/kube/advice/cel.ts'
import { lineOf, refuses } from '../../src/kube/advice/finding.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { PORTS } from '../../src/model/ports.ts'
import type { Destination } from '../../src/proxy/capture/destination.ts'
import { Cluster, CLUSTER, documentsOf, podObject, sliceObject } from '../mesh/cluster.ts'

export const MESH_NAMESPACE = 'mesh'
export const CONSUMER_NAMESPACE = 'consumer'
export const BYTES_PORT = 9_000
export const GRPC_PORT = 7_070

/** What an echo pod says of a request. */
export interface Echo extends Omit<Answer, 'body'> {
  /** Name of the pod; empty where no application answered. */
  readonly pod: string
  readonly path: string
  readonly host: string
  /** Of the request, as it arrived. */
  readonly seen: Readonly<Record<string, string>>
}

export interface Client {
  readonly namespace: string
  readonly pod: Pod
  readonly wanted: Destination[]
}

export interface Asked {
  /** The Service by its short name, or `address:port`; port 80 unless said otherwise. */
  readonly to: string
  readonly port?: number
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  /** Another host than the Service's name. */
  readonly host?: string
}

const SERVICE_PORTS = [
  { name: 'http', port: 80, targetPort: 8_080 },
  { name: 'http-alt', port: 8_080, targetPort: 8_080 },
  { name: 'grpc', port: GRPC_PORT, targetPort: GRPC_PORT },
  { name: 'tcp', port: BYTES_PORT, targetPort: BYTES_PORT },
  { name: 'tls-bytes', port: 9_443, targetPort: BYTES_PORT },
] as const

export class EchoWorld {
  readonly #cluster = new Cluster()
  readonly world = this.#cluster.world
  readonly addresses = new Map<string, string>()
  /** Addresses of the echo pods. */
  readonly pods = new Map<string, string>()
  readonly #fixed: KubeObject[] = []
  #applied: KubeObject[] = []
  #client: Client | undefined
  #consumer: Client | undefined
  /** Requests that reached an application, by pod. */
  readonly arrivals: string[] = []

  static async start(): Promise<EchoWorld> {
    const world = new EchoWorld()
    await world.#begin()
    return world
  }

  close(): Promise<void> {
    return this.world.close()
  }

  get client(): Client {
    if (this.#client === undefined) throw new Error('not started')
    return this.#client
  }

  /** Of another namespace. */
  get consumer(): Client {
    if (this.#consumer === undefined) throw new Error('not started')
    return this.#consumer
  }

  async #begin(): Promise<void> {
    const versions = [await this.#echo('echo-v1', 'v1'), await this.#echo('echo-v2', 'v2')] as const
    this.service('echo', versions)
    this.service('echo-v1', [versions[0]])
    this.service('echo-v2', [versions[1]])
    this.service('empty', [])
    this.#client = this.#clientOf(MESH_NAMESPACE)
    this.#consumer = this.#clientOf(CONSUMER_NAMESPACE)
    await this.apply('')
  }

  async #echo(name: string, version: string): Promise<Pod> {
    const pod = this.world.pod(CLUSTER, name, { namespace: MESH_NAMESPACE })
    this.pods.set(name, pod.ip)
    await this.world.app(pod.ip, (request, response) => {
      this.arrivals.push(name)
      const seen = Object.fromEntries(
        Object.entries(request.headers).map(([field, value]) => [
          field,
          Array.isArray(value) ? value.join(',') : value,
        ]),
      )
      const status = Number(request.headers['x-want-status'] ?? 200)
      const delayMs = Number(request.headers['x-want-delay'] ?? 0)
      response.statusCode = status
      response.setHeader('x-pod', name)
      setTimeout(
        () => response.end(JSON.stringify({ pod: name, path: request.url, host: request.headers.host, seen })),
        delayMs,
      )
    })
    await this.#cluster.bytes(pod.ip, BYTES_PORT, (server: Server) =>
      server.on('connection', (socket) => socket.on('error', () => {}).end(name)),
    )
    await this.#calls(name, pod)
    const labels = { app: 'echo', version }
    this.#cluster.sidecar(MESH_NAMESPACE, name, pod)
    this.#fixed.push(podObject({ name, namespace: MESH_NAMESPACE, labels, ip: pod.ip, sidecar: true, captured: false }))
    return pod
  }

  /** Answers any call with its name and what it saw, as a gRPC server does. */
  async #calls(name: string, pod: Pod): Promise<void> {
    const server = createH2Server()
    server.on('stream', (stream, headers) => {
      this.arrivals.push(name)
      stream.on('error', () => {})
      const seen = JSON.stringify({ ...headers, path: headers[':path'] })
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'x-pod': name, 'x-seen': seen },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.resume()
      stream.end()
    })
    server.listen(GRPC_PORT, pod.ip)
    await once(server, 'listening')
    this.world.onClose(() => void server.close())
  }

  /** A gRPC call to the address of a Service, and its status. */
  async called(from: Client, asked: Asked): Promise<Echo & { readonly code: string }> {
    const { to, path = '/echo.Echo/Say', headers = {}, port = GRPC_PORT } = asked
    from.wanted.push({ address: this.addresses.get(to) ?? to, port })
    const session = connectH2(`http://${to}:${port}`, {
      createConnection: () => connect({ host: from.pod.ip, port: PORTS.outbound }),
    })
    try {
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      })
      let trailers: Record<string, unknown> = {}
      stream.on('trailers', (found) => (trailers = found))
      stream.end()
      const [answer] = (await once(stream, 'response')) as [Record<string, unknown>]
      stream.resume()
      await once(stream, 'close')
      const all = { ...answer, ...trailers }
      const text = (name: string): string => {
        const value = all[name]
        return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
      }
      const seen = text('x-seen') === '' ? {} : (JSON.parse(text('x-seen')) as Record<string, string>)
      return {
        status: Number(text(':status')),
        headers: all as Echo['headers'],
        pod: text('x-pod'),
        path: seen['path'] ?? '',
        host: '',
        seen,
        code: text('grpc-status'),
      }
    } finally {
      session.destroy()
    }
  }

  #clientOf(namespace: string): Client {
    const wanted: Destination[] = []
    const pod = this.world.pod(CLUSTER, 'client', { namespace, originalDestination: () => wanted.shift() })
    this.#cluster.sidecar(namespace, 'client', pod)
    this.#fixed.push(podObject({ name: 'client', namespace, ip: pod.ip, sidecar: true, captured: true }))
    return { namespace, pod, wanted }
  }

  service(name: string, pods: readonly Pod[], spec: object = {}): void {
    const address = freshIp()
    this.addresses.set(name, address)
    const metadata = { name, namespace: MESH_NAMESPACE }
    const selector = { app: 'echo', ...(pods.length === 1 && { version: pods[0]?.workload.slice(-2) ?? '' }) }
    this.#fixed.push(
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata,
        spec: { clusterIP: address, selector, ports: SERVICE_PORTS, ...spec },
      } as unknown as KubeObject,
      sliceObject({
        service: name,
        namespace: MESH_NAMESPACE,
        ports: SERVICE_PORTS.map(({ name: port, targetPort }) => ({ name: port, port: targetPort })),
        pods: pods.map(({ workload, ip }) => ({ name: workload, ip })),
      }),
    )
  }

  /** These documents instead of those before; of namespace `mesh` unless they say otherwise. */
  async apply(yaml: string): Promise<void> {
    this.#applied = documentsOf(yaml).map((object) => {
      const metadata = { namespace: MESH_NAMESPACE, creationTimestamp: '2026-01-01T00:00:00Z', ...object.metadata }
      const refused = adviseObject(object, celRuleFlaws).filter(refuses)
      if (refused.length > 0) throw new Error(refused.map(lineOf).join('\n'))
      return Object.assign({}, object, { metadata })
    })
    await this.#cluster.run([...this.#fixed, ...this.#applied])
  }

  /** By the address of the Service: the kernel leads the connection to the sidecar. */
  async dialed(from: Client, asked: Asked): Promise<Echo> {
    const { to, port = 80, path = '/', method = 'GET', headers = {} } = asked
    const { host = port === 80 ? to : `${to}:${port}` } = asked
    from.wanted.push({ address: this.addresses.get(to) ?? to, port })
    return echoOf(
      await answered({
        host: from.pod.ip,
        port: PORTS.outbound,
        path,
        method,
        headers: { host, connection: 'close', ...headers },
      }),
    )
  }

  /** By the name of the Service, through the explicit HTTP proxy. */
  async named(from: Client, asked: Asked): Promise<Echo> {
    const { to, port = 80, path = '/', headers = {}, method = 'GET' } = asked
    const name = from.namespace === MESH_NAMESPACE ? to : `${to}.${MESH_NAMESPACE}`
    const host = port === 80 ? name : `${name}:${port}`
    return echoOf(await ask(from.pod, `http://${host}${path}`, { headers, method }))
  }

  /** What comes back for bytes to the address of a Service; `reset` where nothing does. */
  async bytes(
    from: Client,
    to: string,
    options: { readonly port?: number; readonly hello?: Buffer } = {},
  ): Promise<string> {
    const { port = BYTES_PORT, hello = Buffer.from('x') } = options
    from.wanted.push({ address: this.addresses.get(to) ?? to, port })
    const socket = connect({ host: from.pod.ip, port: PORTS.outbound, allowHalfOpen: true })
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => {})
    socket.end(hello)
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    return chunks.length === 0 ? 'reset' : Buffer.concat(chunks).toString('latin1')
  }

  /** How often each pod, or status, answered. */
  async shares(ask: () => Promise<Echo>, count: number): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (let index = 0; index < count; index += 1) {
      const { pod, status } = await ask()
      const key = status === 200 ? pod : String(status)
      found[key] = (found[key] ?? 0) + 1
    }
    return found
  }
}

function echoOf({ status, headers, body }: Answer): Echo {
  const nothing = { pod: '', path: '', host: '', seen: {} }
  if (headers['x-pod'] === undefined) return { status, headers, ...nothing }
  return { status, headers, ...nothing, ...(JSON.parse(body.toString()) as object) }
}
