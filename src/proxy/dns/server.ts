/** The sockets of the DNS server: UDP and TCP on one address. What is asked and answered is service.ts's. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, isIPv6, type Socket } from 'node:net'
import { listen } from '../../runtime/listen.ts'
import { MESSAGE_BYTES_MAX } from './wire.ts'

export const TCP_CONNECTIONS_MAX = 128
export const TCP_IDLE_MS = 10_000
/** Of one connection, asked and not answered yet (RFC 7766 6.2.1.1: answers may come in any order). */
export const TCP_WAITING_MAX = 16
/** Of answers that the client does not read. */
const TCP_UNSENT_BYTES_MAX = 262_144
const LENGTH_BYTES = 2

/** Calls `reply` at most once; with nothing where there is nothing to say. */
export type Handle = (message: Buffer, transport: 'udp' | 'tcp', reply: (bytes: Buffer | undefined) => void) => void

export interface DnsServer {
  close(): Promise<void>
}

/** Resolves once both ports are open; rejects when one cannot be had. */
export async function serveDns(address: { host: string; port: number }, handle: Handle): Promise<DnsServer> {
  const udp = createSocket(isIPv6(address.host) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
  let isOpen = true
  udp.on('message', (message, peer) =>
    handle(message, 'udp', (bytes) => {
      // A client that went away is no concern of the next one.
      if (bytes !== undefined && isOpen) udp.send(bytes, peer.port, peer.address, () => {})
    }),
  )
  const connections = new Set<Socket>()
  const tcp = createServer({ noDelay: true }, (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    const client = new TcpClient(socket, handle)
    socket.on('data', (chunk: Buffer) => client.take(chunk))
  })
  tcp.maxConnections = TCP_CONNECTIONS_MAX
  const close = async (): Promise<void> => {
    isOpen = false
    for (const socket of connections) socket.destroy()
    await Promise.all([
      new Promise<void>((done) => udp.close(() => done())),
      new Promise<void>((done) => tcp.close(() => done())),
    ])
  }
  try {
    await bind(udp, address)
    await listen(tcp, address)
  } catch (error) {
    await close().catch(() => {})
    throw error
  }
  udp.on('error', () => {})
  return { close }
}

function bind(socket: UdpSocket, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** Two bytes of length before each message (RFC 1035 4.2.2); one that is too long ends the connection. */
class TcpClient {
  readonly #socket: Socket
  readonly #handle: Handle
  #pending: Buffer = Buffer.alloc(0)
  #waiting = 0

  constructor(socket: Socket, handle: Handle) {
    this.#socket = socket
    this.#handle = handle
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
  }

  take(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    this.#read()
  }

  #read(): void {
    while (this.#waiting < TCP_WAITING_MAX && this.#pending.length >= LENGTH_BYTES) {
      const length = this.#pending.readUInt16BE(0)
      if (length > MESSAGE_BYTES_MAX) return void this.#socket.destroy()
      if (this.#pending.length < LENGTH_BYTES + length) break
      const message = this.#pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length)
      this.#pending = this.#pending.subarray(LENGTH_BYTES + length)
      this.#waiting += 1
      this.#handle(message, 'tcp', (bytes) => this.#answer(bytes))
      if (this.#socket.destroyed) return
    }
    if (this.#waiting >= TCP_WAITING_MAX) this.#socket.pause()
  }

  #answer(bytes: Buffer | undefined): void {
    const socket = this.#socket
    this.#waiting -= 1
    if (socket.destroyed) return
    if (bytes === undefined || socket.writableLength > TCP_UNSENT_BYTES_MAX) return void socket.destroy()
    const head = Buffer.alloc(LENGTH_BYTES)
    head.writeUInt16BE(bytes.length)
    socket.write(Buffer.concat([head, bytes]))
    if (!socket.isPaused()) return
    socket.resume()
    // What was read before the pause.
    this.#read()
  }
}
