/**
 * One worker as the primary sees it: the process, what it has to do, and which sockets are on their way to it. What
 * was handed over and not taken when it died goes to another worker: not a byte of it was read.
 */
import { type ChildProcess, fork } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Load, ToPrimary, ToWorker } from './messages.ts'
import { WORKER_ENV } from './messages.ts'

export interface WorkerEvents {
  readonly message: (worker: WorkerProcess, message: ToPrimary) => void
  /** The process is gone; `untaken` are sockets that nobody has read from. */
  readonly gone: (worker: WorkerProcess, how: string, untaken: readonly HandOver[]) => void
}

export interface HandOver {
  readonly socket: Socket
  readonly port: PortKey
  readonly sinceMs: number
}

/** `address|port`, as the primary opened it. */
export type PortKey = string

/** One that has not taken a socket for so long does not get the next one. */
const STALLED_MS = 1_000

export class WorkerProcess {
  readonly number: number
  readonly startedAt: number
  readonly #child: ChildProcess
  readonly #events: WorkerEvents
  readonly #underWay = new Map<number, HandOver>()
  #lastId = 0
  #handed = 0
  #load: Load = { ended: 0, streams: 0, busy: 0, awaited: [] }
  ready = false
  #gone = false

  constructor(number: number, nowMs: number, events: WorkerEvents) {
    this.number = number
    this.startedAt = nowMs
    this.#events = events
    this.#child = fork(process.argv[1] ?? '', process.argv.slice(2), {
      serialization: 'advanced',
      env: { ...process.env, [WORKER_ENV]: String(number) },
      // Standard output comes to us: lines of several writers would mix in a pipe.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => this.#received(message as ToPrimary))
    this.#child.on('error', () => {})
    this.#child.once('exit', (code, signal) => this.#ended(signal ?? `code ${code ?? 0}`))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get output(): NodeJS.ReadableStream | null {
    return this.#child.stdout
  }

  get load(): Load {
    return this.#load
  }

  get connections(): number {
    return this.#handed - this.#load.ended
  }

  /** Connections and what goes on in them; the fewest gets the next socket. */
  get weight(): number {
    // What waits to be taken counts twice: a worker that is slow to take is busy in ways it has not told.
    return this.connections + this.#load.streams + this.#underWay.size
  }

  /** Resolves once the process is gone. */
  get ended(): Promise<void> {
    return this.#gone ? Promise.resolve() : new Promise((resolve) => this.#child.once('exit', () => resolve()))
  }

  /** May get sockets: it runs the configuration and keeps up. */
  takes(nowMs: number): boolean {
    if (!this.ready || this.#gone) return false
    for (const { sinceMs } of this.#underWay.values()) return nowMs - sinceMs < STALLED_MS
    return true
  }

  send(message: ToWorker): void {
    if (!this.#gone && this.#child.connected) this.#child.send(message, () => {})
  }

  /** `name`: what the worker calls the port. */
  hand(socket: Socket, name: string, port: PortKey, nowMs: number): void {
    const id = ++this.#lastId
    this.#handed++
    this.#underWay.set(id, { socket, port, sinceMs: nowMs })
    socket.on('error', () => {})
    // Our copy stays open until the worker has its own: if it dies before, the client has lost nothing.
    this.#child.send({ kind: 'socket', port: name, id } satisfies ToWorker, socket, { keepOpen: true }, () => {})
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  #received(message: ToPrimary): void {
    if (message.kind === 'taken') this.#taken(message.id)
    else if (message.kind === 'load') this.#load = message.load
    else {
      if (message.kind === 'ready') this.ready = true
      this.#events.message(this, message)
    }
  }

  #taken(id: number): void {
    const found = this.#underWay.get(id)
    this.#underWay.delete(id)
    found?.socket.destroy()
  }

  #ended(how: string): void {
    if (this.#gone) return
    this.#gone = true
    this.ready = false
    const untaken = [...this.#underWay.values()]
    this.#underWay.clear()
    this.#events.gone(this, how, untaken)
  }
}
