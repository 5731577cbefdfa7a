/**
 * Connections of generic listeners, in the order they meet it: first bytes, chain, TLS, reader. Mesh listeners are
 * connection.ts's; what they share (limits, counters, codecs) it hands in.
 */
import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { CompiledChain, CompiledListener } from '../compile.ts'
import { PREFACE } from '../h2/frames.ts'
import { type PROXY_PROTO_NAMES, readProxyHeader } from '../l4/proxy-header.ts'
import type { Addresses } from '../l4/proxy-protocol.ts'
import type { CompiledTcp } from '../l4/session.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import type { ConnectionFacts } from './chain-match.ts'
import type { CompiledGeneric, OpenChain } from './compile-listener.ts'
import { inspect, UNKNOWN } from './inspect.ts'
import type { ServerTlsContext } from './server-tls.ts'

export interface GenericAcceptorOptions {
  readonly timers: TimerWheel
  readonly serveHttp: (socket: Socket, to: HttpTarget) => void
  readonly serveTcp: (socket: Socket, filter: CompiledTcp, client: ForeignClient) => void
  readonly now: () => number
  readonly countHeader: (name: (typeof PROXY_PROTO_NAMES)[number]) => void
  /** The listener under the present configuration. */
  readonly present: (name: string) => CompiledListener | undefined
  readonly count: (reason: string, detail: string) => void
}

/** `isBrought`: by the PROXY protocol; else they are the socket's own. */
type BroughtAddresses = Addresses & { readonly isBrought: boolean }

/** What of a connection its reader cannot see itself. */
export interface ForeignClient {
  readonly addresses: BroughtAddresses
  readonly clusterName?: string
}

export interface HttpTarget {
  readonly speaks: 'http1' | 'h2'
  readonly secure: boolean
  /** The client's, judged. */
  readonly certificate: X509Certificate | undefined
  readonly listener: string
  readonly facts: ConnectionFacts
  /** Under the present configuration; as it was where it is gone. */
  readonly chain: () => CompiledChain
  /** Still part of the present configuration. */
  readonly isPresent: () => boolean
}

/** A connection on its way to whoever serves it. */
interface Arriving {
  readonly listener: string
  readonly facts: ConnectionFacts
  readonly open: OpenChain
  readonly secure: boolean
  readonly certificate: X509Certificate | undefined
}

const NOBODY_WAITS = {}

export class GenericAcceptor {
  readonly #options: GenericAcceptorOptions
  /** Accepted, and not with whoever serves them yet. */
  readonly #pending = new Set<Socket>()

  constructor(options: GenericAcceptorOptions) {
    this.#options = options
  }

  get pending(): number {
    return this.#pending.size
  }

  accept(socket: Socket, { name }: CompiledListener, generic: CompiledGeneric): void {
    this.#pending.add(socket)
    socket.once('close', () => this.#pending.delete(socket))
    const { timers, count, countHeader } = this.#options
    if (generic.header === undefined) return this.#inspect(socket, name, addressesOf(socket))
    return readProxyHeader(socket, timers, generic.header, {
      done: (claimed) => {
        const own = addressesOf(socket)
        this.#inspect(socket, name, claimed === undefined ? own : { ...claimed, isBrought: true })
      },
      failed: (reason) => count('proxy-header', reason),
      count: countHeader,
    })
  }

  #inspect(socket: Socket, listener: string, addresses: BroughtAddresses): void {
    const wanted = this.#options.present(listener)?.generic?.wanted
    if (wanted === undefined) return this.#inspected(socket, listener, { ...addresses, ...UNKNOWN })
    inspect(socket, this.#options.timers, wanted, {
      done: (found) => this.#inspected(socket, listener, { ...addresses, ...found }),
      failed: (reason) => this.#options.count('first-bytes', reason),
    })
    // Held where a header was read before.
    socket.resume()
  }

  #inspected(socket: Socket, listener: string, facts: ConnectionFacts): void {
    const generic = this.#options.present(listener)?.generic
    const open = generic?.chains.find(facts) ?? generic?.rest
    if (open === undefined) return this.#refuse(socket, 'no-chain', listener)
    const arriving = { listener, facts, open, secure: false, certificate: undefined }
    if (open.tls === undefined) return this.#serve(socket, arriving)
    if (open.tls === 'awaited') return this.#refuse(socket, 'no-certificate', listener)
    const { tls } = open
    if (facts.transport === 'tls') return this.#secure(socket, tls, { arriving, offers: facts.protocols })
    // What the client offers is known before the handshake only by reading ahead.
    inspect(socket, this.#options.timers, tls.wanted, {
      done: ({ protocols: offers }) => this.#secure(socket, tls, { arriving, offers }),
      failed: (reason) => this.#options.count('handshake', reason),
    })
    socket.resume()
  }

  #secure(
    socket: Socket,
    tls: ServerTlsContext,
    { arriving, offers }: { readonly arriving: Arriving; readonly offers: readonly string[] },
  ): void {
    tls.accept(socket, offers, {
      secured: (secured) => {
        // From here on the TLS socket stands for it.
        this.#pending.delete(socket)
        this.#pending.add(secured.socket)
        secured.socket.once('close', () => this.#pending.delete(secured.socket))
        this.#serve(secured.socket, { ...arriving, secure: true, certificate: secured.certificate })
      },
      refused: (reason) => this.#options.count('handshake', reason),
    })
  }

  /** Network filters, before a byte is read. */
  #serve(socket: Socket, arriving: Arriving): void {
    const { open, facts, listener } = arriving
    if (open.network === undefined) return this.#read(socket, arriving, NOBODY_WAITS)
    const { remoteAddress, serverName } = facts
    const admission = open.network.admit({
      remoteAddress,
      directAddress: socket.remoteAddress ?? '',
      serverName,
      nowMs: this.#options.now(),
    })
    if (admission.admitted) {
      socket.once('close', admission.leave)
      return this.#read(socket, arriving, admission)
    }
    if (admission.delayMs === 0) return this.#refuse(socket, admission.reason, listener)
    return this.#hold(socket, admission)
  }

  /** A client that comes again at once would only cost more than one that waits. */
  #hold(socket: Socket, { reason, delayMs }: { readonly reason: string; readonly delayMs: number }): void {
    const { timers, count } = this.#options
    const timer = new WheelTimer(() => void socket.destroy())
    timers.schedule(timer, delayMs)
    socket.on('error', () => {}).on('close', () => timers.cancel(timer))
    count(reason, '')
  }

  #read(socket: Socket, arriving: Arriving, { clusterName }: { readonly clusterName?: string }): void {
    const { filter } = arriving.open.chain
    const { listener, facts, secure, certificate } = arriving
    if (filter.kind === 'tcp') {
      this.#pending.delete(socket)
      return this.#options.serveTcp(socket, filter, {
        addresses: facts,
        ...(clusterName !== undefined && { clusterName }),
      })
    }
    const target = { listener, facts, secure, certificate, ...this.#following(arriving) }
    const serve = (speaks: 'http1' | 'h2'): void => {
      this.#pending.delete(socket)
      this.#options.serveHttp(socket, { ...target, speaks })
      // Held since its first bytes were read ahead.
      socket.resume()
    }
    const codec = filter.reverse?.settings.codec ?? agreed(socket)
    if (codec !== undefined) return serve(codec === 'http1' ? 'http1' : 'h2')
    return sniffPreface(socket, { timers: this.#options.timers, waitMs: filter.reverse?.h1.idleTimeoutMs ?? 0 }, serve)
  }

  /** Routes and filters change under a connection; the chain it came in by does not. */
  #following({ listener, open }: Arriving): Pick<HttpTarget, 'chain' | 'isPresent'> {
    let known = open.chain
    const present = (): OpenChain | undefined => this.#options.present(listener)?.generic?.byKey.get(open.key)
    return {
      chain: () => (known = present()?.chain ?? known),
      isPresent: () => present() !== undefined,
    }
  }

  #refuse(socket: Socket, reason: string, detail: string): void {
    socket.on('error', () => {})
    socket.destroy()
    this.#options.count(reason, detail)
  }
}

function addressesOf(socket: Socket): BroughtAddresses {
  const { localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 } = socket
  return { localAddress, localPort, remoteAddress, remotePort, isBrought: false }
}

/** By ALPN; undefined where TLS agreed on nothing, or there is none. */
function agreed(socket: Socket): 'http1' | 'http2' | undefined {
  const protocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined
  if (protocol === 'h2') return 'http2'
  return protocol === 'http/1.1' ? 'http1' : undefined
}

/**
 * HTTP/2 with prior knowledge begins with its preface (RFC 9113 3.4), which is no request that HTTP/1.1 could mean. The
 * time limit of whoever reads on begins with the first byte; until then the connection is idle.
 */
function sniffPreface(
  socket: Socket,
  { timers, waitMs }: { readonly timers: TimerWheel; readonly waitMs: number },
  serve: (speaks: 'http1' | 'h2') => void,
): void {
  let bytes: Buffer | undefined
  const release = (): void => {
    timers.cancel(timer)
    socket.off('data', read).off('error', ended).off('end', ended)
  }
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
  }
  const timer = new WheelTimer(ended)
  if (waitMs > 0) timers.schedule(timer, waitMs)
  socket.on('data', read).on('error', ended).on('end', ended)
  // An inspector before us may have held it.
  socket.resume()
}
