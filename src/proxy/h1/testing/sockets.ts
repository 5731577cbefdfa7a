/** Two ends of one connection over loopback, for tests of what reads and writes sockets. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

const servers: Server[] = []
const sockets: Socket[] = []

/** The accepted end and the one that connected; both half open when one side ends. */
export async function pair(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const address = server.address()
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const far = connect({ port: typeof address === 'object' ? (address?.port ?? 0) : 0, host: '127.0.0.1' })
  const [near] = await accepted
  sockets.push(near, far)
  if (far.connecting) await once(far, 'connect')
  return { near, far }
}

/** For afterEach: ends every pair that was made. */
export function closePairs(): void {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) server.close()
}

/** Turns of the event loop until it holds; the test's own time limit ends what never does. */
export async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve))
}
