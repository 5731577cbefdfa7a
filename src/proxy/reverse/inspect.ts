/**
 * What a connection's first bytes tell before a chain is chosen: TLS with its server name and offers, or HTTP's version.
 * The bytes are put back for whoever reads on; nothing here is trusted further than to choose.
 */
import type { Socket } from 'node:net'
import { PREFACE } from '../h2/frames.ts'
import { CLIENT_HELLO_BYTES_MAX, parseClientHello } from '../client-hello.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'

export interface Inspected {
  readonly transport: 'tls' | 'raw_buffer'
  readonly serverName: string
  readonly protocols: readonly string[]
}

export interface Wanted {
  readonly tls: boolean
  readonly http: boolean
  /** 0: no limit. */
  readonly timeoutMs: number
  readonly goesOnAfterTimeout: boolean
}

export interface InspectHandler {
  readonly done: (found: Inspected) => void
  /** The socket is gone by then. */
  readonly failed: (reason: string) => void
}

const HANDSHAKE = 22
/** Records around a hello take a little more than the hello. */
const HELLO_BYTES_MAX = CLIENT_HELLO_BYTES_MAX + 1_024
/** A request line longer than this is no HTTP that we would know. */
const LINE_BYTES_MAX = 8 * 1_024
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP\/1\.([01])\r?\n/
const LINE_BEGUN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]*( [^\r\n]*)?\r?$/

export const UNKNOWN: Inspected = { transport: 'raw_buffer', serverName: '', protocols: [] }

type Verdict = Inspected | 'more' | { readonly failed: string }

export function inspect(socket: Socket, timers: TimerWheel, wanted: Wanted, handler: InspectHandler): void {
  let bytes: Buffer | undefined
  const release = (): void => {
    timers.cancel(timer)
    socket.off('data', read).off('error', lost).off('close', lost).off('end', lost)
  }
  const fail = (reason: string): void => {
    release()
    socket.on('error', () => {})
    socket.destroy()
    handler.failed(reason)
  }
  const finish = (found: Inspected): void => {
    release()
    socket.pause()
    if (bytes !== undefined) socket.unshift(bytes)
    handler.done(found)
  }
  const lost = (): void => fail('closed before its first bytes')
  const read = (chunk: Buffer): void => {
    bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk])
    const verdict = judge(bytes, wanted)
    if (verdict === 'more') return
    if ('failed' in verdict) fail(verdict.failed)
    else finish(verdict)
  }
  const timer = new WheelTimer(() => (wanted.goesOnAfterTimeout ? finish(UNKNOWN) : fail('no first bytes in time')))
  if (wanted.timeoutMs > 0) timers.schedule(timer, wanted.timeoutMs)
  socket.on('data', read).on('error', lost).on('close', lost).on('end', lost)
}

function judge(bytes: Buffer, { tls, http }: Wanted): Verdict {
  if (tls && bytes[0] === HANDSHAKE) return judgeHello(bytes)
  return http ? judgeHttp(bytes) : UNKNOWN
}

function judgeHello(bytes: Buffer): Verdict {
  const hello = parseClientHello(bytes, { foldCase: true })
  if (hello.kind === 'hello') return { transport: 'tls', serverName: hello.serverName, protocols: hello.alpn }
  if (hello.kind === 'incomplete') return bytes.length > HELLO_BYTES_MAX ? { failed: 'ClientHello too long' } : 'more'
  return { failed: hello.reason }
}

function judgeHttp(bytes: Buffer): Verdict {
  const length = Math.min(bytes.length, PREFACE.length)
  if (bytes.compare(PREFACE, 0, length, 0, length) === 0) return length < PREFACE.length ? 'more' : found('h2c')
  const text = bytes.toString('latin1', 0, LINE_BYTES_MAX)
  const line = REQUEST_LINE.exec(text)
  if (line !== null) return found(`http/1.${line[1] ?? ''}`)
  return text.length < LINE_BYTES_MAX && LINE_BEGUN.test(text) ? 'more' : UNKNOWN
}

const found = (protocol: string): Inspected => ({ ...UNKNOWN, protocols: [protocol] })
