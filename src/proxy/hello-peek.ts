/**
 * Reads a ClientHello off a fresh socket and puts it back, so that whoever terminates or forwards TLS finds the bytes
 * where they were. Within 16 KiB and 10 seconds, or the socket is closed.
 */
import type { Socket } from 'node:net'
import { CLIENT_HELLO_BYTES_MAX, parseClientHello } from './client-hello.ts'
import { type TimerWheel, WheelTimer } from './timer-wheel.ts'

const PEEK_TIMEOUT_MS = 10_000 // Envoy's listener filters get 15 s
/** Records around the hello take a little more than the hello itself. */
const PEEK_BYTES_MAX = CLIENT_HELLO_BYTES_MAX + 1_024

export interface Peeked {
  readonly serverName: string
  readonly alpn: readonly string[]
}

/** `refused` gets a reason for the counters; the socket is destroyed by then. */
export function peekClientHello(
  socket: Socket,
  timers: TimerWheel,
  handler: { readonly peeked: (hello: Peeked) => void; readonly refused: (reason: string) => void },
): void {
  let bytes: Buffer | undefined
  const timer = new WheelTimer(() => refuse('no ClientHello in time'))
  const release = (): void => {
    timers.cancel(timer)
    socket.off('data', read)
    socket.off('error', failed)
    socket.off('close', closed)
    socket.off('end', closed)
  }
  const refuse = (reason: string): void => {
    release()
    socket.on('error', () => {})
    socket.destroy()
    handler.refused(reason)
  }
  const failed = (): void => refuse('connection reset before the ClientHello')
  const closed = (): void => refuse('closed before the ClientHello')
  const read = (chunk: Buffer): void => {
    bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk])
    const hello = parseClientHello(bytes)
    if (hello.kind === 'incomplete') return bytes.length > PEEK_BYTES_MAX ? refuse('ClientHello too long') : undefined
    if (hello.kind === 'invalid') return refuse(hello.reason)
    release()
    socket.pause()
    socket.unshift(bytes)
    return handler.peeked(hello)
  }
  timers.schedule(timer, PEEK_TIMEOUT_MS)
  socket.on('data', read)
  socket.on('error', failed)
  socket.on('close', closed)
  socket.on('end', closed)
}
