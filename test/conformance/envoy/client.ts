/** The clients of the comparison: HTTP/1.1 by bytes, one HTTP/2 stream, and plain TCP. Each connects afresh. */
import type { OutgoingHttpHeaders } from 'node:http'
import { connect as connectH2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { constants } from 'node:crypto'
import { connect as connectTls } from 'node:tls'
import { LISTENER_PORT, type RawStep, type Reply, type ResumeStep, type StreamStep, type TcpStep } from './case.ts'
import { type Message, MessageReader } from './message-reader.ts'
import { pairs } from './origin.ts'

/** Longer than any timeout a case configures. */
const PATIENCE_MS = 10_000
/** Tickets come right after the handshake. */
const SESSION_MS = 150

export interface Outcome {
  readonly replies: readonly Reply[]
  /** What is no whole answer, or a TCP stream's bytes. */
  readonly bytes: string
  readonly end: 'open' | 'closed' | 'reset' | 'refused'
}

type Sent = Pick<RawStep, 'port' | 'tls' | 'from' | 'fromPort'>

function dial(host: string, { port = LISTENER_PORT, tls, from, fromPort }: Sent): Socket {
  const own = {
    ...(from !== undefined && { localAddress: from }),
    ...(fromPort !== undefined && { localPort: fromPort }),
  }
  const to = { host, port, allowHalfOpen: true, ...own }
  if (tls === undefined) return connect(to)
  return connectTls({
    ...to,
    rejectUnauthorized: tls.ca !== undefined,
    checkServerIdentity: () => undefined,
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
    ...(tls.alpn === undefined ? {} : { ALPNProtocols: [...tls.alpn] }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key ?? '' }),
  })
}

interface Conversation {
  readonly bytes: string | Buffer
  readonly end: boolean
  readonly onData: (chunk: Buffer) => void
  readonly onEnd: () => void
  /** Enough was read. */
  readonly done: () => boolean
  readonly hold?: boolean
  readonly patienceMs?: number | undefined
}

const held = new Set<Socket>()

/** Connections that steps left open. */
export function releaseHeld(): void {
  for (const socket of held) socket.destroy()
  held.clear()
}

/** Writes, reads until `done` or the end, and says how it ended. */
function converse(
  socket: Socket,
  { bytes, end, onData, onEnd, done, hold, patienceMs = PATIENCE_MS }: Conversation,
): Promise<Outcome['end']> {
  return new Promise((resolve) => {
    const finish = (how: Outcome['end']): void => {
      clearTimeout(patience)
      resolve(how)
      if (hold === true && how === 'open') held.add(socket)
      else socket.destroy()
    }
    const patience = setTimeout(() => finish('open'), patienceMs)
    let connected = false
    socket.on('connect', () => (connected = true))
    socket.on('error', () => finish(connected ? 'reset' : 'refused'))
    socket.on('data', (chunk: Buffer) => {
      onData(chunk)
      if (done()) finish('open')
    })
    socket.on('end', () => {
      onEnd()
      finish('closed')
    })
    if (end) socket.end(bytes)
    else socket.write(bytes)
  })
}

export async function sendRaw(host: string, step: RawStep): Promise<Outcome> {
  const replies: Reply[] = []
  const bodyOf = (line: string): 'none' | 'until-close' =>
    step.head === true || /^HTTP\/1\.\d (1\d\d|204|304)/.test(line) ? 'none' : 'until-close'
  const reader = new MessageReader(bodyOf, (message) => replies.push(replyOf(message)))
  const wanted = step.answers ?? 1
  const finals = (): number => replies.filter(({ status }) => status >= 200 || status === 101).length
  const end = await converse(dial(host, step), {
    bytes: typeof step.raw === 'string' ? Buffer.from(step.raw, 'latin1') : step.raw,
    end: false,
    patienceMs: step.patienceMs,
    onData: (chunk) => reader.push(chunk),
    onEnd: () => reader.end(),
    done: () => wanted !== 'close' && finals() >= wanted,
  })
  return { replies, bytes: reader.rest, end }
}

export async function sendTcp(host: string, step: TcpStep): Promise<Outcome> {
  let bytes = ''
  const end = await converse(dial(host, step), {
    bytes: step.tcp,
    end: step.end === true,
    hold: step.hold === true,
    patienceMs: step.patienceMs,
    onData: (chunk) => (bytes += chunk.toString('latin1')),
    onEnd: () => {},
    done: () => step.expect !== undefined && bytes.length >= step.expect,
  })
  return { replies: [], bytes, end }
}

function replyOf({ line, headers, body, trailers }: Message): Reply {
  return { status: Number(line.split(' ')[1]), headers, body, trailers }
}

/** The first connection lives until its session can be used again, or a moment if that never comes. */
export async function resume(host: string, { resume: how }: ResumeStep): Promise<Outcome> {
  const { serverName, ca, cert, key, maxVersion, tickets } = how
  const options = {
    host,
    port: LISTENER_PORT,
    rejectUnauthorized: false,
    ...(serverName !== undefined && { servername: serverName }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert, key }),
    ...(maxVersion !== undefined && { maxVersion }),
    ...(tickets === false && { secureOptions: constants.SSL_OP_NO_TICKET }),
  }
  const handshake = (session?: Buffer): Promise<{ session: Buffer | undefined; reused: boolean }> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ ...options, ...(session !== undefined && { session }) })
      let given: Buffer | undefined
      const finish = (): void => {
        resolve({ session: given ?? socket.getSession(), reused: socket.isSessionReused() })
        socket.destroy()
      }
      socket.once('error', reject)
      socket.on('session', (fresh) => (given = fresh))
      socket.once('secureConnect', () => setTimeout(finish, SESSION_MS))
    })
  const first = await handshake()
  const second = await handshake(first.session)
  return { replies: [], bytes: second.reused ? 'resumed' : 'in full', end: 'open' }
}

/** CONNECT that asks for no protocol has none (RFC 9113 8.5). */
function schemeOf({ h2, tls }: StreamStep): Record<string, string> {
  if (h2[':method'] === 'CONNECT' && h2[':protocol'] === undefined) return {}
  return { ':scheme': tls === undefined ? 'http' : 'https' }
}

export function sendStream(host: string, step: StreamStep): Promise<Outcome> {
  const { port = LISTENER_PORT, tls } = step
  const session = connectH2(`${tls === undefined ? 'http' : 'https'}://${host}:${port}`, {
    createConnection: () => dial(host, step),
  })
  return new Promise((resolve) => {
    let reply: Reply | undefined
    const finish = (end: Outcome['end']): void => {
      clearTimeout(patience)
      session.destroy()
      resolve({ replies: reply === undefined ? [] : [reply], bytes: '', end })
    }
    const patience = setTimeout(() => finish('open'), PATIENCE_MS)
    session.on('error', () => finish('refused'))
    const stream = session.request(
      { ...schemeOf(step), ...(step.h2 as OutgoingHttpHeaders) },
      {
        endStream: step.body === undefined && step.trailers === undefined,
        waitForTrailers: step.trailers !== undefined,
      },
    )
    const chunks: Buffer[] = []
    let trailers: Reply['trailers'] = []
    stream.on('wantTrailers', () => stream.sendTrailers(step.trailers ?? {}))
    stream.on('response', (headers) => {
      reply = { status: Number(headers[':status']), headers: pairs(headers), body: '', trailers: [] }
    })
    stream.on('trailers', (fields) => (trailers = pairs(fields)))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => finish('reset'))
    stream.on('close', () => {
      if (reply !== undefined) reply = { ...reply, body: Buffer.concat(chunks).toString('latin1'), trailers }
      finish(stream.rstCode === 0 ? 'closed' : 'reset')
    })
    if (step.body !== undefined || step.trailers !== undefined) stream.end(step.body ?? '')
  })
}
