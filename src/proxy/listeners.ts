/**
 * Keeps the open ports equal to the configuration's listeners. A port that cannot be had is tried again and named in
 * the log and in readiness; the others serve meanwhile.
 */
import type { Socket } from 'node:net'
import { Backoff } from '../runtime/backoff.ts'
import type { Cancel, Clock } from '../runtime/clock.ts'
import { MeshError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import type { Random } from '../runtime/random.ts'
import type { CompiledListener } from './compile.ts'
import type { CreatePort, PortServer } from './port-server.ts'

interface Open {
  readonly address: string
  readonly port: number
  /** Peers come here, not the pod's own applications. */
  readonly forPeers: boolean
  readonly server: PortServer
  readonly sockets: Set<Socket>
  retry: Cancel | undefined
}

export interface ListenerSetOptions {
  readonly accept: (socket: Socket, listener: string) => void
  /** Before anyone reads of it. */
  readonly onConnection: (socket: Socket, listener: string) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly createPort: CreatePort
}

export class ListenerSet {
  readonly #options: ListenerSetOptions
  readonly #open = new Map<string, Open>()

  constructor(options: ListenerSetOptions) {
    this.#options = options
  }

  /** Names of listeners whose port is not open yet. */
  get awaited(): readonly string[] {
    return [...this.#open].filter(([, open]) => !open.server.listening).map(([name]) => name)
  }

  apply(listeners: ReadonlyMap<string, CompiledListener>): void {
    for (const [name, open] of this.#open) {
      const wanted = listeners.get(name)
      if (wanted?.address !== open.address || wanted.port !== open.port) this.#close(name, open)
    }
    for (const listener of listeners.values()) if (!this.#open.has(listener.name)) this.#listen(listener)
  }

  /** The port a listener got, where the configuration left the choice to the machine (0). */
  portOf(name: string): number | undefined {
    const address = this.#open.get(name)?.server.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  /** Accepts no more peers; their connections go on, and the pod's applications are served as before. */
  drain(): void {
    for (const [name, open] of this.#open) if (open.forPeers) this.#close(name, open)
  }

  destroy(): void {
    const opened = [...this.#open.values()]
    for (const [name, open] of this.#open) this.#close(name, open)
    for (const { sockets } of opened) for (const socket of sockets) socket.destroy()
  }

  #listen(listener: CompiledListener): void {
    const { name, address, port, peeks, capture, generic, stats } = listener
    const { clock, random, log, accept, createPort } = this.#options
    const sockets = new Set<Socket>()
    const server = createPort((socket) => {
      sockets.add(socket)
      this.#options.onConnection(socket, name)
      stats.downstream_cx_total++
      stats.downstream_cx_active++
      socket.once('close', () => {
        sockets.delete(socket)
        stats.downstream_cx_active--
        stats.downstream_cx_destroy++
      })
      accept(socket, name)
    })
    const open: Open = {
      address,
      port,
      forPeers: peeks || generic !== undefined || capture?.direction === 'inbound',
      server,
      sockets,
      retry: undefined,
    }
    this.#open.set(name, open)
    const backoff = new Backoff({ initialMs: 250, maxMs: 5_000, random })
    server.on('error', (error) => {
      const mesh = MeshError.from(error, 'PORT_IN_USE', `listener ${name} at ${address}:${port}`)
      log.error({ code: mesh.code, hint: mesh.hint }, mesh.message)
      if (this.#open.get(name) !== open) return
      open.retry = clock.after(backoff.next(), () => server.listen({ host: address, port, backlog: 4_096 }))
    })
    server.on('listening', () => log.info({ listener: name, address, port }, 'listening'))
    server.listen({ host: address, port, backlog: 4_096 })
  }

  #close(name: string, open: Open): void {
    this.#open.delete(name)
    open.retry?.()
    open.server.close()
  }
}
