/**
 * A 127.n.0.0/16 of the test process's own, for tests that need fixed ports on many addresses. Claimed as local
 * clusters claim theirs, by a listener at 127.n.0.1 that the kernel takes back when the process dies: so no two test
 * runs, and no local cluster, ever meet. Never imported by the product.
 */
import { createServer } from 'node:net'

/** The sentinel port of src/local/cluster/address-plan.ts. */
const SENTINEL_PORT = 10_259
const [NET_MIN, NET_MAX] = [10, 250]

/** `127.n`, held while this process lives. */
export async function claimLoopbackNet(): Promise<string> {
  const count = NET_MAX - NET_MIN + 1
  for (let step = 0; step < count; step++) {
    const net = `127.${NET_MIN + ((process.pid + step) % count)}`
    if (await holds(`${net}.0.1`)) return net
  }
  throw new Error(`every 127.n.0.0/16 is taken: port ${SENTINEL_PORT} is in use in each`)
}

function holds(host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', () => resolve(false))
    server.listen({ host, port: SENTINEL_PORT, exclusive: true }, () => {
      // Held, but no reason to stay alive.
      server.unref()
      resolve(true)
    })
  })
}
