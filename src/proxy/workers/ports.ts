/**
 * The ports of a primary: open as long as any worker wants them. Each accepted socket goes to the worker with the
 * least to do, so that one busy tunnel does not meet the next one, as it may where the kernel spreads connections.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { PortKey, WorkerProcess } from './worker-process.ts'

interface OpenPort {
  readonly server: Server
  /** What each worker calls it. */
  readonly wanted: Map<WorkerProcess, string>
}

export interface PortsOptions {
  readonly workers: () => Iterable<WorkerProcess>
  readonly now: () => number
}

const BACKLOG = 4_096

export class Ports {
  readonly #options: PortsOptions
  readonly #open = new Map<PortKey, OpenPort>()
  /** Sockets that no worker could take, reset at once; for metrics. */
  refused = 0

  constructor(options: PortsOptions) {
    this.#options = options
  }

  open(worker: WorkerProcess, name: string, { address, at }: { address: string; at: number }): void {
    // Where the machine chooses the number, every name is a port of its own.
    const key = at === 0 ? `${address}|0|${name}` : `${address}|${at}`
    const known = this.#open.get(key)
    if (known === undefined) return this.#listen(key, worker, name, { address, at })
    known.wanted.set(worker, name)
    if (known.server.listening) worker.send({ kind: 'listening', port: name, at: portOf(known.server) })
  }

  close(worker: WorkerProcess, name: string): void {
    for (const [key, { wanted }] of this.#open) {
      if (wanted.get(worker) !== name) continue
      wanted.delete(worker)
      if (wanted.size === 0) this.#shut(key)
    }
  }

  /** The ports of a dead worker stay: its successor will want them, and others serve them meanwhile. */
  forget(worker: WorkerProcess): void {
    for (const { wanted } of this.#open.values()) wanted.delete(worker)
  }

  /** What is open and wanted by nobody, once all workers have the configuration. */
  sweep(): void {
    for (const [key, { wanted }] of this.#open) if (wanted.size === 0) this.#shut(key)
  }

  closeAll(): void {
    for (const key of this.#open.keys()) this.#shut(key)
  }

  /** To the worker with the least to do; reset at once when there is none. */
  dispatch(key: PortKey, socket: Socket): void {
    const now = this.#options.now()
    let best: WorkerProcess | undefined
    const wanted = this.#open.get(key)?.wanted
    for (const worker of this.#options.workers()) {
      if (wanted?.has(worker) !== true || !worker.takes(now)) continue
      if (best === undefined || worker.weight < best.weight) best = worker
    }
    if (best !== undefined) return best.hand(socket, wanted?.get(best) ?? '', key, now)
    this.refused++
    socket.on('error', () => {})
    socket.resetAndDestroy()
  }

  #listen(key: PortKey, worker: WorkerProcess, name: string, { address, at }: { address: string; at: number }): void {
    const wanted = new Map([[worker, name]])
    const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) =>
      this.dispatch(key, socket),
    )
    this.#open.set(key, { server, wanted })
    server.on('listening', () => {
      for (const [each, called] of wanted) each.send({ kind: 'listening', port: called, at: portOf(server) })
    })
    server.on('error', (error: NodeJS.ErrnoException) => {
      const { code = '', message } = error
      for (const [each, called] of wanted) each.send({ kind: 'not-listening', port: called, code, message })
      // Whoever wants it asks again.
      if (this.#open.get(key)?.server === server) this.#open.delete(key)
    })
    server.listen({ host: address, port: at, backlog: BACKLOG })
  }

  #shut(key: PortKey): void {
    this.#open.get(key)?.server.close()
    this.#open.delete(key)
  }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}
