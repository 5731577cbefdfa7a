/**
 * Both ends of a bulk transfer, each a process of its own: `source` gives every connection as many bytes as it was asked
 * for, `sink` asks and throws away. Neither allocates per chunk, so that little of the machine goes into them.
 *
 *     node test/bench/tcp-load.ts source ADDRESS PORT
 *     node test/bench/tcp-load.ts sink ADDRESS PORT BYTES CONNECTIONS      prints milliseconds
 */
import { connect, createServer } from 'node:net'
import { performance } from 'node:perf_hooks'

const CHUNK = Buffer.alloc(256 * 1024, 0x61)

function source(address: string, port: number): void {
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', (asked: Buffer) => {
      let left = Number(asked.toString())
      const fill = (): void => {
        while (left > 0) {
          const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
          left -= chunk.length
          if (!socket.write(chunk)) return
        }
        socket.end()
      }
      socket.on('drain', fill)
      fill()
    })
  }).listen(port, address)
}

function pull(address: string, port: number, bytes: number): Promise<void> {
  const buffer = Buffer.alloc(256 * 1024)
  let got = 0
  return new Promise((resolve, reject) => {
    const onread = {
      buffer,
      callback: (count: number) => {
        got += count
        return true
      },
    }
    const socket = connect({ host: address, port, onread }, () => socket.write(String(bytes)))
    socket.on('error', reject)
    socket.on('close', () => (got === bytes ? resolve() : reject(new Error(`${got} of ${bytes} bytes came`))))
  })
}

async function sink(address: string, port: number, ...[bytes, connections]: [number, number]): Promise<void> {
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: connections }, () => pull(address, port, Math.ceil(bytes / connections))))
  process.stdout.write(`${performance.now() - startedAt}\n`)
}

const [role, address = '', port = '', bytes = '', connections = '1'] = process.argv.slice(2)
if (role === 'source') source(address, Number(port))
else if (role === 'sink') await sink(address, Number(port), Number(bytes), Number(connections))
