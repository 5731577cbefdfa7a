/**
 * What the soak does to proxies beside the even load: connections that come and go, answers nobody waits for, errors,
 * retries and bytes that are no HTTP. Everything ends with `stop`; failures are what it is about, so none is reported.
 */
import { connect, type Socket } from 'node:net'
import type { Target } from './load.ts'
import { FAIL_PATH, HANG_UP_PATH, pathOf } from './origin.ts'

const EVERY_MS = 100
const ANSWER_WITHIN_MS = 5_000

/** One of these per target and step, in turn. `after`: bytes of the answer until the client goes; 0: at once. */
interface Mischief {
  readonly bytes: (authority: string) => string
  readonly after: number
}

const get =
  (path: string, more = ''): Mischief['bytes'] =>
  (authority) =>
    `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`

const MISCHIEF: readonly Mischief[] = [
  { bytes: get(pathOf('100 B')), after: 1 },
  { bytes: get(pathOf('100 B'), 'Connection: close\r\n'), after: Infinity },
  { bytes: get(pathOf('1 MiB')), after: 100_000 },
  { bytes: get(pathOf('1 MiB')), after: 0 },
  { bytes: get(FAIL_PATH), after: 1 },
  { bytes: get(HANG_UP_PATH), after: 1 },
  { bytes: get('/nothing-here'), after: 1 },
  { bytes: () => 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', after: Infinity },
  { bytes: () => get(pathOf('100 B'))('no.such.service'), after: 1 },
  {
    bytes: (authority) => `POST /x HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: 100000\r\n\r\nnot all of it`,
    after: 0,
  },
  { bytes: () => '\u0016\u0003\u0001 no hello', after: Infinity },
]

export class Vandal {
  sent = 0
  readonly #targets: readonly Target[]
  readonly #open = new Set<Socket>()
  readonly #interval: NodeJS.Timeout

  constructor(targets: readonly Target[]) {
    this.#targets = targets
    this.#interval = setInterval(() => this.#step(), EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#interval)
    for (const socket of this.#open) socket.destroy()
  }

  #step(): void {
    const mischief = MISCHIEF[this.sent % MISCHIEF.length]
    this.sent++
    if (mischief !== undefined) for (const target of this.#targets) this.#visit(target, mischief)
  }

  #visit(target: Target, { bytes, after }: Mischief): void {
    const socket = connect({ host: target.address, port: target.port })
    this.#open.add(socket)
    let received = 0
    socket.on('connect', () => {
      socket.write(bytes(target.authority), 'latin1')
      // A reset, not an orderly end: the proxy must not wait for the rest.
      if (after === 0) setImmediate(() => socket.resetAndDestroy())
    })
    socket.on('data', (chunk) => {
      received += chunk.length
      if (received >= after) socket.destroy()
    })
    socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy())
    socket.on('end', () => socket.end())
    socket.on('error', () => {})
    socket.on('close', () => this.#open.delete(socket))
  }
}
