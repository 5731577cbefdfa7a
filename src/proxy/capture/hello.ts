/**
 * Reads the server name of a captured TLS connection ahead and puts the bytes back. It only chooses where they go, so
 * whatever is no ClientHello simply has no name.
 */
import type { Socket } from 'node:net'
import { CLIENT_HELLO_BYTES_MAX, parseClientHello } from '../client-hello.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

interface HelloWait {
  readonly timers: TimerWheel
  /** For the first byte: a server that speaks first is late by as much. */
  readonly waitMs: number
}

/** A hello that has begun arrives within this. */
const BEGUN_WAIT_MS = 10_000

/** `heard`: undefined where there is no name. Not called for a connection that ended before. */
export function readHello(
  socket: Socket,
  { timers, waitMs }: HelloWait,
  heard: (serverName: string | undefined) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const release = (): void => {
    timers.cancel(timer)
    socket.off('data', read).off('error', gone).off('end', gone).off('close', release)
  }
  const done = (serverName: string | undefined): void => {
    release()
    socket.pause()
    if (bytes.length > 0) socket.unshift(bytes)
    heard(serverName)
  }
  const gone = (): void => {
    release()
    socket.on('error', () => {})
    socket.destroy()
  }
  const read = (chunk: Buffer): void => {
    if (bytes.length === 0) {
      timers.cancel(timer)
      timers.schedule(timer, BEGUN_WAIT_MS)
    }
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const hello = parseClientHello(bytes, { foldCase: true })
    if (hello.kind === 'hello') return done(hello.serverName === '' ? undefined : hello.serverName)
    if (hello.kind === 'invalid' || bytes.length > 2 * CLIENT_HELLO_BYTES_MAX) done(undefined)
  }
  const timer = new WheelTimer(() => done(undefined))
  timers.schedule(timer, waitMs)
  socket.on('data', read).on('error', gone).on('end', gone).on('close', release)
}
