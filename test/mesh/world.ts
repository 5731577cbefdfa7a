/**
 * One cluster in one process, driven as its users drive it: YAML goes in, judged as admission judges it, through
 * translate and the wire's codec into real proxies; requests go through a pod's sidecar to applications in other pods.
 * Only the API server, the control plane's stream and the kernel's capture are left out (test/e2e has those).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type LookupFunction, type Server, type Socket } from 'node:net'
import { type Answer, ask, freshIp, ORIGIN_PORT, type Pod } from '../../gateways/testing/world.ts'
import { EDGE_MODES } from '../../gateways/edge.ts'
import { adviseObject } from '../../src/kube/advice/advise.ts'
import { lineOf, refuses } from '../../src/kube/advice/finding.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import { LABELS } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { redacted } from '../../src/proxy/admin/config-dump.ts'
import type { Destination } from '../../src/proxy/capture/destination.ts'
import { Cluster, CLUSTER, documentsOf, NAMESPACE, podObject, sliceObject } from './cluster.ts'

/** Kinds without a namespace. */
const CLUSTER_KINDS = new Set(['Node', 'Namespace'])

export interface PodSpec {
  readonly labels?: Readonly<Record<string, string>>
  /** Its application; absent: it answers with its own name. */
  readonly app?: (request: IncomingMessage, response: ServerResponse) => void
  /** Bytes instead of HTTP. */
  readonly bytes?: (server: Server) => void
  readonly sidecar?: boolean
  /** Its connections are led through its sidecar, as `dial` makes them. */
  readonly captured?: true
  readonly node?: string
  /** How its proxy resolves names. */
  readonly lookup?: LookupFunction
}

export interface GatewayPodSpec {
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly role?: 'ingress' | 'egress'
  readonly annotations?: Readonly<Record<string, string>>
}

export interface MeshPod {
  readonly name: string
  readonly ip: string
  /** Absent: it has no sidecar. */
  readonly proxy?: Pod
  /** Requests that reached the application. */
  readonly seen: IncomingMessage[]
  /** Of the connections that are on their way to its sidecar. */
  readonly wanted: Destination[]
}

export class MeshWorld {
  readonly #cluster = new Cluster()
  readonly world = this.#cluster.world
  readonly #pods = new Map<string, MeshPod>()
  /** By kind, namespace and name, as an API server has them. */
  readonly #objects = new Map<string, KubeObject>()

  close(): Promise<void> {
    return this.world.close()
  }

  /** A ready pod of ServiceAccount `name`. */
  async pod(name: string, spec: PodSpec = {}): Promise<MeshPod> {
    const hasSidecar = spec.sidecar !== false
    const wanted: Destination[] = []
    const { lookup } = spec
    const options = {
      ...(spec.captured !== undefined && { originalDestination: () => wanted.shift() }),
      ...(lookup !== undefined && { lookup }),
    }
    const proxy = hasSidecar ? this.world.pod(CLUSTER, name, options) : undefined
    const ip = proxy?.ip ?? freshIp()
    const seen: IncomingMessage[] = []
    if (spec.bytes === undefined) {
      await this.world.app(ip, (request, response) => {
        seen.push(request)
        if (spec.app === undefined) response.end(name)
        else spec.app(request, response)
      })
    } else await this.#cluster.bytes(ip, ORIGIN_PORT, spec.bytes)
    const pod = { name, ip, seen, wanted, ...(proxy !== undefined && { proxy }) }
    this.#pods.set(name, pod)
    if (proxy !== undefined) this.#cluster.sidecar(NAMESPACE, name, proxy)
    const labels = { app: name, ...spec.labels }
    const { node = 'node', captured = false } = spec
    this.#put(podObject({ name, labels, node, ip, sidecar: hasSidecar, captured }))
    return pod
  }

  /** A pod that serves Gateways. */
  gateway(name: string, spec: GatewayPodSpec = {}): MeshPod {
    const { namespace = NAMESPACE, labels = {}, role = 'ingress', annotations = {} } = spec
    const proxy = this.world.pod(CLUSTER, name, { namespace, modes: EDGE_MODES })
    const { ip } = proxy
    const pod = { name, ip, seen: [], wanted: [], proxy }
    this.#pods.set(name, pod)
    this.#cluster.sidecar(namespace, name, proxy, 'gateway')
    const own = { app: name, [LABELS.gateway]: role, ...labels }
    const object = podObject({ name, namespace, labels: own, node: 'node', ip, sidecar: false, captured: false })
    this.#put({ ...object, metadata: { ...object.metadata, annotations } })
    return pod
  }

  /** A Service for the pods that have `app: name`, or what else its selector says. */
  service(
    name: string,
    options: {
      readonly port?: number
      readonly portName?: string
      readonly clusterIP?: string
      readonly app?: string
    } = {},
  ): void {
    const { port = 80, portName = 'http', clusterIP } = options
    this.#put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: NAMESPACE },
      spec: {
        selector: { app: name },
        ports: [{ name: portName, port, targetPort: ORIGIN_PORT }],
        ...(clusterIP !== undefined && { clusterIP }),
      },
    } as KubeObject)
  }

  /** Everything so far, and these documents, is what the mesh runs when it returns. */
  async apply(yaml = ''): Promise<void> {
    for (const object of documentsOf(yaml)) {
      const refused = adviseObject(object).filter(refuses)
      if (refused.length > 0) throw new Error(refused.map(lineOf).join('\n'))
      this.#put(object)
    }
    await this.#push()
  }

  /** As `apply` would, if nobody had judged the documents; takes effect with the next one. */
  put(yaml: string): void {
    for (const object of documentsOf(yaml)) this.#put(object)
  }

  /** `VirtualService/reviews` */
  async remove(key: string): Promise<void> {
    const [kind = '', name = ''] = key.split('/')
    if (!this.#objects.delete(`${kind}/${NAMESPACE}/${name}`)) throw new Error(`no ${key}`)
    await this.#push()
  }

  #put(object: KubeObject): void {
    const { namespace = NAMESPACE, name = '' } = object.metadata
    const metadata = { creationTimestamp: '2026-01-01T00:00:00Z', ...object.metadata }
    const placed = CLUSTER_KINDS.has(object.kind) ? metadata : { ...metadata, namespace }
    this.#objects.set(`${object.kind}/${namespace}/${name}`, { ...object, metadata: placed })
  }

  #push(): Promise<void> {
    const objects = [...this.#objects.values()]
    return this.#cluster.run([...objects, ...slicesOf(objects)])
  }

  /** A request of the application in pod `from`, which must have a sidecar. */
  get(from: string, url: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
    const pod = this.#pods.get(from)?.proxy
    if (pod === undefined) throw new Error(`${from} has no sidecar`)
    return ask(pod, url, options)
  }

  /** Requests that reached the application. */
  seenBy(name: string): readonly IncomingMessage[] {
    return this.#pods.get(name)?.seen ?? []
  }

  /** The proxy's own lines. */
  recordsOf(name: string): readonly Record<string, unknown>[] {
    const proxy = this.#pods.get(name)?.proxy
    proxy?.proxy.recorder.flush()
    return proxy?.records ?? []
  }

  /** What its proxy shows of its configuration. */
  configOf(name: string): unknown {
    const proxy = this.#pods.get(name)?.proxy?.proxy
    return proxy === undefined ? undefined : redacted(proxy.state.snapshot.config)
  }

  /** What a client that says nothing hears. */
  async bytesOf(host: string, port: number): Promise<string> {
    const chunks: Buffer[] = []
    const socket = connect({ host, port })
    socket.on('error', () => {}).on('data', (chunk: Buffer) => chunks.push(chunk))
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    return Buffer.concat(chunks).toString('latin1')
  }

  addressOf(name: string): string {
    return this.#pods.get(name)?.ip ?? ''
  }

  /** A connection that the kernel led to the sidecar of pod `from`. */
  dial(from: string, destination: Destination): Socket {
    const pod = this.#pods.get(from)
    if (pod === undefined) throw new Error(`no pod ${from}`)
    pod.wanted.push(destination)
    return connect({ host: pod.ip, port: PORTS.outbound, allowHalfOpen: true })
  }

  /** What comes back on such a connection for `bytes`. */
  async said(from: string, destination: Destination, bytes: string | Buffer): Promise<string> {
    const socket = this.dial(from, destination)
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => chunks.push(Buffer.from('reset')))
    socket.end(bytes)
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    return Buffer.concat(chunks).toString('latin1')
  }

  /** How often each body came back. */
  async bodies(
    from: string,
    url: string,
    count: number,
    options: Parameters<typeof ask>[2] = {},
  ): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    for (let index = 0; index < count; index += 1) {
      const { status, body } = await this.get(from, url, options)
      const key = status === 200 ? body.toString() : String(status)
      found[key] = (found[key] ?? 0) + 1
    }
    return found
  }
}

/** Of the services whose pods a selector chooses. */
function slicesOf(objects: readonly KubeObject[]): KubeObject[] {
  const pods = objects.filter(({ kind }) => kind === 'Pod') as PodObject[]
  const services = objects.filter(({ kind }) => kind === 'Service') as ServiceObject[]
  return services.flatMap(({ metadata, spec: { selector, ports } }) => {
    if (selector === undefined) return []
    const { name: service = '', namespace = NAMESPACE } = metadata
    const chosen = pods.filter(
      ({ metadata: { labels, namespace: own } }) =>
        own === namespace && Object.entries(selector).every(([label, value]) => labels?.[label] === value),
    )
    return sliceObject({
      service,
      namespace,
      ports: ports.map(({ name, targetPort: port }) => ({ name, port })),
      pods: chosen.map(({ metadata: { name = '' }, status, spec }) => ({
        name,
        ip: status.podIP,
        node: spec.nodeName,
      })),
    })
  })
}

type PodObject = KubeObject & { status: { podIP: string }; spec: { nodeName: string } }
type ServiceObject = KubeObject & {
  spec: { selector?: Record<string, string>; ports: { name: string; targetPort: number }[] }
}
