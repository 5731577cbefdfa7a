/**
 * One large body over HTTP/1.1, down or up, by a client that does as little as it can, in a process of its own so that
 * what small requests wait beside it is not its doing. Prints milliseconds from the request to the last byte.
 *
 *     node test/bench/distance-load.ts down|up ADDRESS PORT AUTHORITY BYTES CONNECTIONS
 */
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'

const CHUNK = Buffer.alloc(256 * 1024, 'x')
const HEAD_END = '\r\n\r\n'

interface Ends {
  readonly host: string
  readonly port: number
}

/** Counts what follows the first head; ends when `bytes` of it came. */
function opened(ends: Ends, bytes: number): { socket: Socket; ended: Promise<void> } {
  const buffer = Buffer.alloc(256 * 1024)
  let got = -1
  let settle = (): void => {}
  const ended = new Promise<void>((resolve) => (settle = resolve))
  const callback = (count: number): boolean => {
    if (got >= 0) got += count
    else {
      const text = buffer.toString('latin1', 0, count)
      const end = text.indexOf(HEAD_END)
      if (end < 0 || !text.startsWith('HTTP/1.1 200')) throw new Error(`no answer: ${text.slice(0, 200)}`)
      got = count - end - HEAD_END.length
    }
    if (got >= bytes) settle()
    return true
  }
  const socket = connect({ ...ends, noDelay: true, onread: { buffer, callback } })
  socket.on('error', (error) => {
    throw error
  })
  socket.on('close', () => {
    if (got < bytes) throw new Error(`closed after ${got} of ${bytes} bytes`)
  })
  return { socket, ended }
}

async function down(ends: Ends, authority: string, bytes: number): Promise<void> {
  const { socket, ended } = opened(ends, bytes)
  socket.write(`GET /b${bytes} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`)
  await ended
  socket.destroy()
}

async function up(ends: Ends, authority: string, bytes: number): Promise<void> {
  const { socket, ended } = opened(ends, 0)
  let left = bytes
  const fill = (): void => {
    while (left > 0) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= chunk.length
      if (!socket.write(chunk)) return
    }
  }
  socket.on('drain', fill)
  socket.write(`PUT /upload HTTP/1.1\r\nhost: ${authority}\r\ncontent-length: ${bytes}\r\n\r\n`)
  fill()
  await ended
  socket.destroy()
}

const [direction, host = '', port = '', authority = '', bytes = '', connections = '1'] = process.argv.slice(2)
const count = Number(connections)
const each = Math.ceil(Number(bytes) / count)
const move = direction === 'up' ? up : down
const startedAt = performance.now()
await Promise.all(Array.from({ length: count }, () => move({ host, port: Number(port) }, authority, each)))
process.stdout.write(`${performance.now() - startedAt}\n`)
