/**
 * Asks the pod's own resolvers what is not ours to answer, one after the other. Each question leaves from a port and
 * with an id that nobody can guess (RFC 5452), on a socket that hears only whom it asked; each has a deadline before the
 * client's own.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import type { Cancel, Clock } from '../../runtime/clock.ts'
import type { NameServer } from './resolv-conf.ts'
import { MESSAGE_BYTES_MAX, type Query, RCODE, type Reply, readReply } from './wire.ts'

/** glibc gives up on us after 5 s; what we know by then it has to hear before. */
const WHOLE_MS = 4_500
const ATTEMPT_MS = 1_500
const ROUNDS = 2
/** Who sends more that does not fit is guessing. */
const STRANGE_MAX = 16
const LENGTH_BYTES = 2

export interface Answered {
  /** With the id of the client's query. */
  readonly bytes: Buffer
  readonly reply: Reply
}

type Done = (answer: Answered | undefined) => void

export class Upstream {
  readonly #servers: readonly NameServer[]
  readonly #clock: Clock

  constructor(servers: readonly NameServer[], clock: Clock) {
    this.#servers = servers
    this.#clock = clock
  }

  /** Calls `done` once: with what the first resolver said that could answer, or with nothing. */
  ask(query: Query, transport: 'udp' | 'tcp', done: Done): void {
    const order = Array.from({ length: ROUNDS }, () => this.#servers).flat()
    const endsAt = this.#clock.monotonic() + WHOLE_MS
    let refusal: Answered | undefined
    const next = (index: number): void => {
      const server = order[index]
      const leftMs = endsAt - this.#clock.monotonic()
      if (server === undefined || leftMs <= 0) return done(refusal)
      const options = { query, server, clock: this.#clock, timeoutMs: Math.min(ATTEMPT_MS, leftMs) }
      const attempt = transport === 'udp' ? askUdp : askTcp
      attempt(options, (answer) => {
        // Another may know better, as glibc sees it too.
        const isFinal = answer !== undefined && !isFailure(answer.reply)
        if (isFinal) return done(answer)
        refusal = answer ?? refusal
        next(index + 1)
      })
    }
    next(0)
  }
}

const isFailure = ({ rcode }: Reply): boolean => rcode === RCODE.servFail || rcode === RCODE.refused

interface Attempt {
  readonly query: Query
  readonly server: NameServer
  readonly clock: Clock
  readonly timeoutMs: number
}

/** The same question with an id of ours, and no larger answer wanted than fits into a packet. */
function asOurs({ bytes, edns }: Query): Buffer {
  const ours = Buffer.from(bytes)
  ours.writeUInt16BE(randomInt(0x1_0000), 0)
  if (edns !== undefined && edns.payload > MESSAGE_BYTES_MAX) ours.writeUInt16BE(MESSAGE_BYTES_MAX, edns.payloadAt)
  return ours
}

/** Undefined: not the answer to what was asked. */
function accepted(bytes: Buffer, asked: Buffer, query: Query): Answered | undefined {
  if (bytes.length < LENGTH_BYTES || bytes.readUInt16BE(0) !== asked.readUInt16BE(0)) return undefined
  const reply = readReply(bytes, query)
  if (reply === undefined) return undefined
  const own = Buffer.from(bytes)
  own.writeUInt16BE(query.id, 0)
  return { bytes: own, reply }
}

function askUdp({ query, server, clock, timeoutMs }: Attempt, done: Done): void {
  const asked = asOurs(query)
  const socket = createSocket(isIPv6(server.host) ? 'udp6' : 'udp4')
  let strange = 0
  const end = once((answer: Answered | undefined) => {
    cancel()
    // An error may still be on its way.
    socket.removeAllListeners().on('error', () => {})
    socket.close()
    done(answer)
  })
  const cancel: Cancel = clock.after(timeoutMs, () => end(undefined))
  socket.on('error', () => end(undefined))
  socket.on('message', (bytes) => {
    const answer = accepted(bytes, asked, query)
    if (answer !== undefined) return end(answer)
    strange += 1
    if (strange > STRANGE_MAX) end(undefined)
  })
  socket.connect(server.port, server.host, () => socket.send(asked, (error) => error && end(undefined)))
}

function askTcp({ query, server, clock, timeoutMs }: Attempt, done: Done): void {
  const asked = asOurs(query)
  const socket = connect({ host: server.host, port: server.port, noDelay: true })
  let pending = Buffer.alloc(0)
  const end = once((answer: Answered | undefined) => {
    cancel()
    socket.destroy()
    done(answer)
  })
  const cancel: Cancel = clock.after(timeoutMs, () => end(undefined))
  socket.on('error', () => end(undefined)).on('close', () => end(undefined))
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    if (pending.length < LENGTH_BYTES) return
    const length = pending.readUInt16BE(0)
    if (pending.length < LENGTH_BYTES + length) return
    end(accepted(pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length), asked, query))
  })
  const head = Buffer.alloc(LENGTH_BYTES)
  head.writeUInt16BE(asked.length)
  socket.write(Buffer.concat([head, asked]))
}

function once(run: Done): Done {
  let isDone = false
  return (answer) => {
    if (isDone) return
    isDone = true
    run(answer)
  }
}
