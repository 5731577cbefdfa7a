/**
 * Carries bytes between two sockets without reading them, with back-pressure and half-close in both directions. No
 * streams piped: a pipe would hide which side ended first, and an error on one side leaves the other open.
 */
import type { Socket } from 'node:net'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

export interface SpliceOptions {
  readonly timers: TimerWheel
  /** Both directions silent for so long ends it. */
  readonly idleMs: number
  readonly onEnd: (bytes: { readonly toUpstream: number; readonly toClient: number }) => void
}

export function spliceSockets(client: Socket, upstream: Socket, options: SpliceOptions): void {
  let toUpstream = 0
  let toClient = 0
  let open = 2
  let ended = false
  let touched = options.timers.now()
  const end = (how: 'flush' | 'cut'): void => {
    if (ended) return
    ended = true
    options.timers.cancel(idle)
    for (const socket of [client, upstream]) {
      if (how === 'flush') socket.destroySoon()
      else socket.destroy()
    }
    options.onEnd({ toUpstream, toClient })
  }
  const idle = new WheelTimer(() => {
    const silentMs = options.timers.now() - touched
    if (silentMs >= options.idleMs) end('cut')
    else options.timers.schedule(idle, options.idleMs - silentMs)
  })
  const carry = (from: Socket, to: Socket, count: (bytes: number) => void): void => {
    from.on('data', (chunk: Buffer) => {
      touched = options.timers.now()
      count(chunk.length)
      if (!to.write(chunk)) from.pause()
    })
    to.on('drain', () => from.resume())
    from.on('end', () => {
      to.end()
      if (--open === 0) end('flush')
    })
    from.on('error', () => end('cut'))
    from.on('close', () => end('flush'))
  }
  carry(client, upstream, (bytes) => (toUpstream += bytes))
  carry(upstream, client, (bytes) => (toClient += bytes))
  options.timers.schedule(idle, options.idleMs)
  client.resume()
  upstream.resume()
}
