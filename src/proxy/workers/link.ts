/** A worker's line to its primary: configuration, certificate and sockets come in, wishes and loads go out. */
import { EventEmitter } from 'node:events'
import type { ListenOptions, Socket } from 'node:net'
import type { IdentitySource, OwnCertificate } from '../identity.ts'
import type { CreatePort, PortServer } from '../port-server.ts'
import { isWorker } from './is-worker.ts'
import type { ToPrimary, ToWorker } from './messages.ts'

/** Undefined: this process is nobody's worker. */
export function openLink(): WorkerLink | undefined {
  return isWorker() ? new WorkerLink() : undefined
}

export class WorkerLink {
  onSocketEnd: () => void = () => {}
  readonly #ports = new Map<string, RemotePort>()
  readonly #certified = new Set<(certificate: OwnCertificate) => void>()
  #certificate: OwnCertificate | undefined
  #lastPort = 0
  #setUp: (text: string) => void = () => {}
  /** What the primary read. */
  readonly setup = new Promise<string>((resolve) => {
    this.#setUp = resolve
  })
  /** Messages from before anyone listens. */
  #early: ToWorker[] | undefined = []
  #onMessage: (message: ToWorker) => void = (message) => void this.#early?.push(message)

  constructor() {
    process.on('message', (message, socket) => this.#received(message as ToWorker, socket as Socket | undefined))
    // Without its primary a worker has no ports, no configuration and nobody who asks: it ends with it.
    process.once('disconnect', () => process.exit(1))
    // A terminal signals the whole group; the primary says when and how to end.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {})
  }

  /** All but what ports and the certificate are for. */
  listen(onMessage: (message: ToWorker) => void): void {
    this.#onMessage = onMessage
    for (const message of this.#early ?? []) onMessage(message)
    this.#early = undefined
  }

  readonly identity: IdentitySource = {
    current: () => this.#certificate,
    onChange: (listener) => {
      this.#certified.add(listener)
      return () => this.#certified.delete(listener)
    },
  }

  readonly createPort: CreatePort = (onSocket) => {
    const name = String(++this.#lastPort)
    const port = new RemotePort({
      open: (address, at) => this.send({ kind: 'open', port: name, address, at }),
      close: () => {
        this.#ports.delete(name)
        this.send({ kind: 'close', port: name })
      },
      onSocket,
    })
    this.#ports.set(name, port)
    return port
  }

  send(message: ToPrimary): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }

  #received(message: ToWorker, socket: Socket | undefined): void {
    switch (message.kind) {
      case 'setup':
        return this.#setUp(message.text)
      case 'certificate':
        this.#certificate = message.certificate
        for (const listener of this.#certified) listener(message.certificate)
        return
      case 'socket':
        return this.#take(message.port, message.id, socket)
      case 'listening':
        return this.#ports.get(message.port)?.opened(message.at)
      case 'not-listening':
        return this.#ports.get(message.port)?.failed(Object.assign(new Error(message.message), { code: message.code }))
      default:
        return this.#onMessage(message)
    }
  }

  #take(name: string, id: number, socket: Socket | undefined): void {
    // Said before anything is read: until then the primary may give the client to another worker.
    this.send({ kind: 'taken', id })
    const port = this.#ports.get(name)
    if (socket === undefined || port === undefined) {
      socket?.destroy()
      return this.onSocketEnd()
    }
    socket.allowHalfOpen = true
    socket.setNoDelay(true)
    socket.once('close', () => this.onSocketEnd())
    port.accepted(socket)
  }
}

interface RemoteParts {
  readonly open: (address: string, at: number) => void
  readonly close: () => void
  readonly onSocket: (socket: Socket) => void
}

/** A port that the primary holds. */
class RemotePort extends EventEmitter implements PortServer {
  readonly #parts: RemoteParts
  #at: number | undefined

  constructor(parts: RemoteParts) {
    super()
    this.#parts = parts
  }

  get listening(): boolean {
    return this.#at !== undefined
  }

  address(): { readonly port: number } | null {
    return this.#at === undefined ? null : { port: this.#at }
  }

  listen({ host = '', port = 0 }: ListenOptions): void {
    this.#parts.open(host, port)
  }

  close(): void {
    this.#at = undefined
    this.#parts.close()
  }

  opened(at: number): void {
    this.#at = at
    this.emit('listening')
  }

  failed(error: Error): void {
    this.emit('error', error)
  }

  accepted(socket: Socket): void {
    this.#parts.onSocket(socket)
  }
}
