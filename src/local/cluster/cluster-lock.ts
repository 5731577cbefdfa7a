/**
 * One process per cluster: a name in the kernel's abstract socket space, which nobody has to clean up because it ends
 * with its holder, however that ends. Two starts at the same moment cannot both succeed.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'

export interface ClusterLock {
  release(): Promise<void>
}

/** undefined: another process runs this cluster. */
export function takeLock(directory: string): Promise<ClusterLock | undefined> {
  const name = `\0isthmus-local-${createHash('sha256').update(directory).digest('hex')}`
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen({ path: name }, () => {
      resolve({ release: () => new Promise((done) => void server.close(() => done())) })
    })
  })
}
