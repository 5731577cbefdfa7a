/** A recording TCP relay: what really crosses a wire, byte for byte, both ways. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface Relay {
  readonly port: number
  /** Everything that crossed so far, both directions, in order of arrival. */
  recorded(): Buffer
  close(): Promise<void>
}

export interface RelayOptions {
  /** Asked per connection, so that the target may come up after the relay. */
  readonly target: () => Promise<{ host: string; port: number }>
  readonly recordBytesMax: number
}

export async function startRelay({ target, recordBytesMax }: RelayOptions): Promise<Relay> {
  const chunks: Buffer[] = []
  let size = 0
  const sockets = new Set<Socket>()
  const record = (chunk: Buffer): void => {
    if (size >= recordBytesMax) return
    size += chunk.length
    chunks.push(chunk)
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    sockets.add(client)
    client.on('error', () => client.destroy())
    target().then(
      ({ host, port }) => {
        const upstream = connect({ host, port, allowHalfOpen: true })
        sockets.add(upstream)
        pump(client, upstream, record)
        pump(upstream, client, record)
      },
      () => client.destroy(),
    )
  })
  await listening(server)
  return {
    port: (server.address() as AddressInfo).port,
    recorded: () => Buffer.concat(chunks),
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function pump(from: Socket, to: Socket, record: (chunk: Buffer) => void): void {
  from.on('data', (chunk) => {
    record(chunk)
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

function listening(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
}
