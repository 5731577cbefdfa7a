/**
 * The distance between two clusters: a TCP relay that holds every byte back for a while, in both directions, and keeps
 * no more under way than a kernel would. A process of its own, so that its work delays nobody.
 *
 *     node test/bench/relay.ts <address> <port> <target address> <target port> <one-way delay, ms>
 */
import { connect, createServer, type Socket } from 'node:net'

/** In flight per direction and connection: what Linux keeps for a sender by default (tcp_wmem). */
const IN_FLIGHT_MAX = 4 * 1024 * 1024

interface Held {
  readonly at: number
  /** Undefined: the end. */
  readonly chunk: Buffer | undefined
}

/** One direction of one connection. */
function delay(from: Socket, to: Socket, delayMs: number): void {
  const queue: Held[] = []
  let head = 0
  let bytes = 0
  let running = false
  const run = (): void => {
    running = false
    const now = performance.now()
    for (let next = queue[head]; next !== undefined && next.at <= now; next = queue[++head]) {
      if (next.chunk === undefined) to.end()
      else {
        bytes -= next.chunk.length
        to.write(next.chunk)
      }
    }
    if (head === queue.length) {
      queue.length = 0
      head = 0
    } else if (head > 1_024) {
      queue.splice(0, head)
      head = 0
    }
    if (bytes < IN_FLIGHT_MAX && from.isPaused() && !to.writableNeedDrain) from.resume()
    const waiting = queue[head]
    if (waiting !== undefined) start(waiting.at - now)
  }
  const start = (ms: number): void => {
    if (running) return
    running = true
    setTimeout(run, Math.max(0, ms))
  }
  const hold = (chunk: Buffer | undefined): void => {
    queue.push({ at: performance.now() + delayMs, chunk })
    bytes += chunk?.length ?? 0
    if (bytes >= IN_FLIGHT_MAX || to.writableNeedDrain) from.pause()
    start(delayMs)
  }
  from.on('data', hold)
  from.on('end', () => hold(undefined))
  to.on('drain', run)
}

function main([address = '', port = '', targetAddress = '', targetPort = '', ms = '']: readonly string[]): void {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ host: targetAddress, port: Number(targetPort), allowHalfOpen: true, noDelay: true })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => other.destroy())
      // What is under way still arrives.
      one.on('close', () => setTimeout(() => other.destroySoon(), 2 * Number(ms)))
      delay(one, other, Number(ms))
    }
  })
  server.listen(Number(port), address)
}

main(process.argv.slice(2))
