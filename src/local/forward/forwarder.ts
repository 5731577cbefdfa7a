/**
 * What kube-proxy does on a real node: connections to a Service's ClusterIP, load balancer address and node ports
 * reach a ready endpoint. One listener per address and port, raw TCP, no looking inside. Ports below 1024 need rights
 * that a laptop user rarely has: then an Event on the Service says so, and callers by name still get there through
 * their sidecar's HTTP proxy.
 */
import { connect, createServer, isIP, type Server, type Socket } from 'node:net'
import type { EndpointSlice, Service, ServicePort } from '../../kube/kinds.ts'
import { LABELS } from '../../model/names.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { Random } from '../../runtime/random.ts'
import { keyOf, type ReadCache } from '../cluster/cache.ts'
import type { EventRecorder } from '../controllers/events.ts'
import { backendsOf, RoundRobin } from './backends.ts'
import { splice } from './splice.ts'

export interface ForwarderOptions {
  readonly services: ReadCache<Service>
  readonly endpointSlices: ReadCache<EndpointSlice>
  /** Addresses where node ports listen. */
  readonly nodeAddresses: readonly string[]
  readonly random: Random
  readonly events: EventRecorder
  readonly log: Log
}

interface Listener {
  readonly server: Server
  readonly service: string
  port: ServicePort
}

/** Of one cluster, all listeners together; the next is closed at once, as a full accept queue would. */
const CONNECTIONS_MAX = 4_096
const CONNECT_TIMEOUT_MS = 2_000

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #listeners = new Map<string, Listener>()
  readonly #refused = new Set<string>()
  readonly #sockets = new Set<Socket>()
  readonly #turns = new Map<string, RoundRobin>()
  #connections = 0
  #unsubscribe: () => void = () => {}

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  start(): void {
    this.#unsubscribe = this.#options.services.subscribe((key, service) => this.#update(key, service))
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    for (const socket of this.#sockets) socket.destroy()
    const servers = [...this.#listeners.values()].map(({ server }) => server)
    this.#listeners.clear()
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))))
  }

  #update(key: string, service: Service | undefined): void {
    const wanted = new Map<string, ServicePort>()
    for (const { host, port } of service === undefined ? [] : this.#addresses(service)) {
      wanted.set(`${host}:${port.number}`, port.spec)
    }
    for (const [address, listener] of this.#listeners) {
      if (listener.service !== key) continue
      const port = wanted.get(address)
      if (port === undefined) {
        this.#listeners.delete(address)
        listener.server.close()
      } else listener.port = port
    }
    for (const address of this.#refused)
      if (address.startsWith(`${key} `) && service === undefined) this.#refused.delete(address)
    for (const [address, port] of wanted) {
      if (service !== undefined && !this.#listeners.has(address)) this.#listen(service, address, port)
    }
  }

  #addresses(service: Service): { host: string; port: { number: number; spec: ServicePort } }[] {
    const { clusterIP = '', ports = [] } = service.spec
    const hosts = (service.status?.loadBalancer?.ingress ?? []).flatMap((ingress) => ingress.ip ?? [])
    if (isIP(clusterIP) === 4) hosts.push(clusterIP)
    const tcp = ports.filter((port) => (port.protocol ?? 'TCP') === 'TCP')
    const direct = hosts.flatMap((host) => tcp.map((spec) => ({ host, port: { number: spec.port, spec } })))
    const onNodes = this.#options.nodeAddresses.flatMap((host) =>
      tcp.flatMap((spec) => (spec.nodePort === undefined ? [] : [{ host, port: { number: spec.nodePort, spec } }])),
    )
    return [...direct, ...onNodes]
  }

  #listen(service: Service, address: string, port: ServicePort): void {
    const key = keyOf(service)
    if (this.#refused.has(`${key} ${address}`)) return
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
    const listener: Listener = { server, service: key, port }
    this.#listeners.set(address, listener)
    server.on('connection', (socket) => this.#accept(listener, socket))
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
      this.#refused.add(`${key} ${address}`)
      this.#explain(service, address, error)
    })
    const colon = address.lastIndexOf(':')
    server.listen({ host: address.slice(0, colon), port: Number(address.slice(colon + 1)), backlog: 511 })
  }

  #explain(service: Service, address: string, error: NodeJS.ErrnoException): void {
    const { events } = this.#options
    const name = `${service.metadata.name}.${service.metadata.namespace}.svc.cluster.local`
    const message =
      error.code === 'EACCES'
        ? `${address} is not forwarded: ports below 1024 need rights this process does not have. Requests by name (http://${name}/) still work through a sidecar's HTTP proxy; a port from 1024 works for everyone.`
        : `${address} is not forwarded: ${error.message}`
    events.record(service, { type: 'Warning', reason: 'NotForwarded', message })
  }

  #accept(listener: Listener, socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    if (this.#connections >= CONNECTIONS_MAX) {
      this.#options.log.warn({ service: listener.service, limit: CONNECTIONS_MAX }, 'too many forwarded connections')
      socket.destroy()
      return
    }
    this.#connections++
    let counted = true
    const release = (): void => {
      if (counted) this.#connections--
      counted = false
    }
    this.#dial(listener)
      .then((upstream) => {
        if (upstream === undefined || socket.destroyed) {
          socket.resetAndDestroy()
          upstream?.destroy()
          release()
          return
        }
        this.#sockets.add(upstream)
        upstream.once('close', () => this.#sockets.delete(upstream))
        splice(socket, upstream, release)
      })
      .catch((error: unknown) => {
        this.#options.log.error({ err: messageOf(error) }, 'a forwarded connection failed')
        socket.destroy()
        release()
      })
  }

  /** A connection to a ready endpoint, or to another one when the first does not answer. */
  async #dial(listener: Listener): Promise<Socket | undefined> {
    const [namespace = '', name = ''] = listener.service.split('/')
    const slices = this.#options.endpointSlices
      .in(namespace)
      .filter((slice) => slice.metadata.labels?.[LABELS.sliceServiceName] === name)
    const backends = backendsOf(listener.port, slices)
    if (backends.length === 0) return undefined
    for (const { host, port } of this.#turnOf(listener.service).pick(backends)) {
      const socket = await dial(host, port)
      if (socket !== undefined) return socket
    }
    return undefined
  }

  #turnOf(service: string): RoundRobin {
    const known = this.#turns.get(service)
    if (known !== undefined) return known
    const turn = new RoundRobin(Math.floor(this.#options.random.next() * 1_000))
    this.#turns.set(service, turn)
    return turn
  }
}

function dial(host: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('timed out')))
    socket.once('connect', () => {
      socket.setTimeout(0)
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.once('error', () => resolve(undefined))
  })
}
