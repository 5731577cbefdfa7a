/**
 * The client that measures: an open-loop load (requests leave on schedule, whatever the answers do) over the URLs of
 * `TARGET_URLS`, round robin, at `RATE` per second. Every request becomes one JSON line on stdout, written when it
 * ends; the demo reads them through the pod's log. `SECRET` travels as a header, for a test that looks for it on the wire.
 */
import { createServer } from 'node:http'
import { call, type CallResult } from './call.ts'

/** One finished request; short keys, for 200 of them are written each second. */
export interface LoadRecord {
  /** Start, milliseconds since the epoch. */
  readonly t: number
  /** Duration, milliseconds. */
  readonly d: number
  /** Status; 0 when there was no answer. */
  readonly s: number
  /** Index into TARGET_URLS. */
  readonly u: number
  /** Pods that took part, caller first. */
  readonly p: readonly string[]
  readonly e?: string
}

const TICK_MS = 10
const TIMEOUT_MS = 10_000
/** Beyond this many unanswered requests the next ones count as failed at once, so that memory stays bounded. */
const IN_FLIGHT_MAX = 4_000
const WARM_UP_PART = 4

export function runLoad(): void {
  const urls = (process.env['TARGET_URLS'] ?? '').split(',').filter((url) => url !== '')
  const rate = Number(process.env['RATE'] ?? 200)
  const headers = process.env['SECRET'] === undefined ? {} : { 'x-shop-secret': process.env['SECRET'] }
  let sent = 0
  let inFlight = 0
  let startedAt = 0
  let pace = rate

  const send = (index: number): void => {
    const url = urls[index % urls.length]
    if (url === undefined) return
    const t = Date.now()
    const begin = performance.now()
    const record = (result: CallResult): void => {
      const line: LoadRecord = {
        t,
        d: Math.round(performance.now() - begin),
        s: result.status,
        u: index % urls.length,
        p: result.pods,
      }
      process.stdout.write(`${JSON.stringify(result.error === undefined ? line : { ...line, e: result.error })}\n`)
    }
    if (inFlight >= IN_FLIGHT_MAX)
      return record({ status: 0, pods: [], error: `more than ${IN_FLIGHT_MAX} requests unanswered` })
    inFlight += 1
    call({ url, timeoutMs: TIMEOUT_MS, headers }, (result) => {
      inFlight -= 1
      record(result)
    })
  }

  const tick = (): void => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * pace)
    while (sent < due) send(sent++)
  }

  // The load waits for a word, so that no request is sent before someone counts: POST /warm-up (a quarter of the rate),
  // /start, /stop. Each start counts from zero.
  let timer: NodeJS.Timeout | undefined
  const run = (requestsPerSecond: number): void => {
    clearInterval(timer)
    sent = 0
    pace = requestsPerSecond
    startedAt = performance.now()
    timer = setInterval(tick, TICK_MS)
  }
  const server = createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/start') run(rate)
    else if (request.method === 'POST' && request.url === '/warm-up') run(rate / WARM_UP_PART)
    else if (request.method === 'POST' && request.url === '/stop') clearInterval(timer)
    response.end(JSON.stringify({ sent, inFlight }))
  })
  server.listen(Number(process.env['PORT'] ?? 8080), process.env['HOST'] ?? process.env['POD_IP'] ?? '0.0.0.0')
  process.on('SIGTERM', () => process.exit(0))
}
