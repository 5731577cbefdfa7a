/** The cluster's DNS server: UDP and TCP on one address, a high port. Answers only for its own zones; never forwards. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Socket } from 'node:net'
import { MeshError } from '../../runtime/errors.ts'
import { listen } from '../../runtime/listen.ts'
import { QUERY_BYTES_MAX, respond, type Resolve } from './message.ts'

const TCP_CONNECTIONS_MAX = 128
const TCP_IDLE_MS = 10_000
const LENGTH_BYTES = 2

export interface DnsServer {
  close(): Promise<void>
}

export async function startDnsServer(address: { host: string; port: number }, resolve: Resolve): Promise<DnsServer> {
  const udp = createSocket('udp4')
  udp.on('message', (message, peer) => {
    const answer = respond(message, 'udp', resolve)
    // A client that went away is no concern of the next one.
    if (answer !== undefined) udp.send(answer, peer.port, peer.address, () => {})
  })
  const connections = new Set<Socket>()
  const tcp = createServer((socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    serve(socket, resolve)
  })
  tcp.maxConnections = TCP_CONNECTIONS_MAX
  try {
    await listenUdp(udp, address)
    await listen(tcp, address)
  } catch (error) {
    udp.close()
    throw MeshError.from(error, 'LOCAL_START', `DNS cannot listen on ${address.host}:${address.port}`)
  }
  udp.on('error', () => {})
  return {
    close: async () => {
      for (const socket of connections) socket.destroy()
      await Promise.all([
        new Promise<void>((done) => udp.close(() => done())),
        new Promise<void>((done) => tcp.close(() => done())),
      ])
    },
  }
}

function listenUdp(socket: UdpSocket, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** Two bytes of length before each message (RFC 1035 4.2.2); one that is too long ends the connection. */
function serve(socket: Socket, resolve: Resolve): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.setTimeout(TCP_IDLE_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    while (pending.length >= LENGTH_BYTES) {
      const length = pending.readUInt16BE(0)
      if (length > QUERY_BYTES_MAX) {
        socket.destroy()
        return
      }
      if (pending.length < LENGTH_BYTES + length) return
      const answer = respond(pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length), 'tcp', resolve)
      pending = pending.subarray(LENGTH_BYTES + length)
      if (answer === undefined) {
        socket.destroy()
        return
      }
      const frame = Buffer.alloc(LENGTH_BYTES + answer.length)
      frame.writeUInt16BE(answer.length, 0)
      answer.copy(frame, LENGTH_BYTES)
      socket.write(frame)
    }
  })
}
