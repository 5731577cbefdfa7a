/**
 * One cluster in one process, driven as its users drive it: YAML goes in, judged as admission judges it, through
 * translate and the wire's codec into real proxies; requests go through a pod's sidecar to applications in other pods.
 * Only the API server, the control plane's stream and the kernel's capture are left out (test/e2e has those).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { parseAllDocuments } from 'yaml'
import { snapshotOf } from '../../src/controlplane/testing/snapshot-of.ts'
import { Translator } from '../../src/controlplane/translate/translator.ts'
import {
  type Answer,
  ask,
  freshIp,
  listening,
  MESH,
  ORIGIN_PORT,
  type Pod,
  World,
} from '../../gateways/testing/world.ts'
import { CAPTURE_CONTAINER } from '../../src/kube/inject.ts'
import { PORTS } from '../../src/model/ports.ts'
import type { Destination } from '../../src/proxy/capture/destination.ts'
import { adviseObject } from '../../src/kube/advice/advise.ts'
import { lineOf, refuses } from '../../src/kube/advice/finding.ts'
import type { KubeObject } from '../../src/kube/object.ts'
import type { ProxyConfig, ResourceKind } from '../../src/model/config.ts'
import { decodeResource, encodeResource, type ModelResource } from '../../src/xds/codec/codec.ts'
import { tableOf } from '../../src/xds/encoded.ts'
import { SEND_ORDER } from '../../src/xds/resources.ts'

const NAMESPACE = 'shop'
const CLUSTER = 'east'

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
  readonly world = new World([CLUSTER])
  readonly #translator = new Translator({ endpointIdKey: Buffer.from('test') })
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
    const options = spec.captured === undefined ? {} : { originalDestination: () => wanted.shift() }
    const proxy = hasSidecar ? this.world.pod(CLUSTER, name, options) : undefined
    const ip = proxy?.ip ?? freshIp()
    const seen: IncomingMessage[] = []
    if (spec.bytes === undefined) {
      await this.world.app(ip, (request, response) => {
        seen.push(request)
        if (spec.app === undefined) response.end(name)
        else spec.app(request, response)
      })
    } else await this.#listen(ip, spec.bytes)
    const pod = { name, ip, seen, wanted, ...(proxy !== undefined && { proxy }) }
    this.#pods.set(name, pod)
    this.#put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: NAMESPACE, labels: { app: name, ...spec.labels } },
      spec: {
        serviceAccountName: name,
        nodeName: spec.node ?? 'node',
        containers: [{ name: 'app' }, ...(hasSidecar ? [{ name: 'isthmus-proxy' }] : [])],
        ...(spec.captured === true && { initContainers: [{ name: CAPTURE_CONTAINER }] }),
      },
      status: { podIP: ip, conditions: [{ type: 'Ready', status: 'True' }] },
    } as KubeObject)
    return pod
  }

  #listen(ip: string, accept: (server: Server) => void): Promise<void> {
    const server = createServer()
    accept(server)
    this.world.onClose(() => void server.close())
    return new Promise((resolve) => server.listen(ORIGIN_PORT, ip, resolve))
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
    for (const object of objectsOf(yaml)) {
      const refused = adviseObject(object).filter(refuses)
      if (refused.length > 0) throw new Error(refused.map(lineOf).join('\n'))
      this.#put(object)
    }
    await this.#push()
  }

  /** As `apply` would, if nobody had judged the documents; takes effect with the next one. */
  put(yaml: string): void {
    for (const object of objectsOf(yaml)) this.#put(object)
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

  async #push(): Promise<void> {
    const roots = { [`${CLUSTER}.${MESH}`]: [this.world.mesh.root.certificatePem] }
    const mesh = { mesh: MESH, cluster: CLUSTER, trustDomain: `${CLUSTER}.${MESH}`, domain: 'cluster.local' }
    const objects = [...this.#objects.values()]
    const snapshot = snapshotOf({ mesh, roots, objects: [...objects, ...slicesOf(objects)] })
    for (const { name, proxy } of this.#pods.values()) {
      const facts = snapshot.pods.get(`${NAMESPACE}/${name}`)
      if (proxy === undefined || facts === undefined) continue
      const config = this.#translator.translate(snapshot, { role: 'sidecar', pod: facts })
      if (config === undefined) throw new Error(`nothing for ${name}`)
      const { rejected } = proxy.proxy.apply(overTheWire(config))
      if (rejected.length > 0) throw new Error(JSON.stringify(rejected))
    }
    for (const { proxy } of this.#pods.values()) if (proxy !== undefined) await listening(proxy)
  }

  /** A request of the application in pod `from`, which must have a sidecar. */
  get(from: string, url: string, options: Parameters<typeof ask>[2] = {}): Promise<Answer> {
    const pod = this.#pods.get(from)?.proxy
    if (pod === undefined) throw new Error(`${from} has no sidecar`)
    return ask(pod, url, options)
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

const objectsOf = (yaml: string): KubeObject[] =>
  parseAllDocuments(yaml).flatMap((document) => (document.toJS() as KubeObject | null) ?? [])

/** What the EndpointSlice controller would write. */
function slicesOf(objects: readonly KubeObject[]): KubeObject[] {
  const pods = objects.filter(({ kind }) => kind === 'Pod') as PodObject[]
  const services = objects.filter(({ kind }) => kind === 'Service') as ServiceObject[]
  return services.flatMap(({ metadata, spec }) => {
    const { selector } = spec
    if (selector === undefined) return []
    const chosen = pods.filter((pod) =>
      Object.entries(selector).every(([label, value]) => pod.metadata.labels?.[label] === value),
    )
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${metadata.name}-1`,
        namespace: NAMESPACE,
        labels: { 'kubernetes.io/service-name': metadata.name },
      },
      addressType: 'IPv4',
      ports: spec.ports.map(({ name, targetPort }) => ({ name, port: targetPort, protocol: 'TCP' })),
      endpoints: chosen.map((pod) => ({
        addresses: [pod.status.podIP],
        conditions: { ready: true },
        nodeName: pod.spec.nodeName,
        targetRef: { kind: 'Pod', name: pod.metadata.name, namespace: NAMESPACE },
      })),
    }
    return [slice as unknown as KubeObject]
  })
}

type PodObject = KubeObject & { status: { podIP: string }; spec: { nodeName: string } }
type ServiceObject = KubeObject & {
  spec: { selector?: Record<string, string>; ports: { name: string; targetPort: number }[] }
}

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
