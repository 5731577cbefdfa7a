/**
 * Connections of generic listeners: which chain serves one, and who reads it. Mesh listeners are connection.ts's; what
 * they share (limits, counters, codecs) it hands in.
 */
import type { Socket } from 'node:net'
import type { CompiledChain, CompiledGeneric, CompiledListener } from '../compile.ts'
import { PREFACE } from '../h2/frames.ts'
import type { CompiledTcp } from '../l4/session.ts'
import type { TimerWheel } from '../timer-wheel.ts'

export interface GenericAcceptorOptions {
  readonly timers: TimerWheel
  readonly serveHttp: (socket: Socket, to: HttpTarget) => void
  readonly serveTcp: (socket: Socket, filter: CompiledTcp) => void
  /** The listener under the present configuration. */
  readonly present: (name: string) => CompiledListener | undefined
  readonly count: (reason: string, detail: string) => void
}

export interface HttpTarget {
  readonly speaks: 'http1' | 'h2'
  readonly secure: boolean
  readonly listener: string
  /** Under the present configuration; the one that admitted the connection where it is gone. */
  readonly chain: () => CompiledChain
}

export class GenericAcceptor {
  readonly #options: GenericAcceptorOptions

  constructor(options: GenericAcceptorOptions) {
    this.#options = options
  }

  accept(socket: Socket, listener: CompiledListener, generic: CompiledGeneric): void {
    const chain = generic.chains[0] ?? generic.rest
    if (chain === undefined) {
      this.#options.count('no-chain', listener.name)
      return void socket.destroy()
    }
    return this.#serve(socket, { listener: listener.name, chain, secure: false })
  }

  #serve(socket: Socket, to: { listener: string; chain: CompiledChain; secure: boolean }): void {
    const { filter } = to.chain
    if (filter.kind === 'tcp') return this.#options.serveTcp(socket, filter)
    const codec = filter.reverse?.settings.codec
    const target = { listener: to.listener, secure: to.secure, chain: this.#following(to) }
    const serve = (speaks: 'http1' | 'h2'): void => this.#options.serveHttp(socket, { ...target, speaks })
    if (codec !== undefined) return serve(codec === 'http1' ? 'http1' : 'h2')
    return sniffPreface(socket, serve)
  }

  /** The chain as it is now: routes and filters change under a connection, the chain it came in by does not. */
  #following({ listener, chain }: { listener: string; chain: CompiledChain }): () => CompiledChain {
    let known = chain
    return () => {
      const generic = this.#options.present(listener)?.generic
      const now = generic?.byKey.get(chain.key)
      if (now !== undefined) known = now
      return known
    }
  }
}

/**
 * HTTP/2 with prior knowledge begins with its preface (RFC 9113 3.4), which is no request that HTTP/1.1 could mean. The
 * time limit of whoever reads on begins with the first byte; a client that says nothing costs a socket.
 */
function sniffPreface(socket: Socket, serve: (speaks: 'http1' | 'h2') => void): void {
  let bytes: Buffer | undefined
  const release = (): void => void socket.off('data', read).off('error', ended).off('end', ended)
  const ended = (): void => {
    release()
    socket.on('error', () => {})
    socket.destroy()
  }
  const read = (chunk: Buffer): void => {
    bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk])
    const length = Math.min(bytes.length, PREFACE.length)
    const alike = bytes.compare(PREFACE, 0, length, 0, length) === 0
    if (alike && length < PREFACE.length) return
    release()
    socket.pause()
    socket.unshift(bytes)
    serve(alike ? 'h2' : 'http1')
    socket.resume()
  }
  socket.on('data', read).on('error', ended).on('end', ended)
}
