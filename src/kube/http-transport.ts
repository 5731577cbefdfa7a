/**
 * One HTTPS exchange with an API server: credentials, keep-alive, deadline, size limits, and failures as `KubeError`.
 * Knows nothing of resources (http-client.ts) and never retries: that is its caller's decision.
 */
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import { MeshError, messageOf } from '../runtime/errors.ts'
import { KubeError } from './client.ts'
import type { KubeConnection, KubeCredentials } from './connection.ts'

export interface TransportLimits {
  /** From the request to the last byte of the answer; kubectl and client-go use 30–60 s. */
  readonly requestTimeoutMs: number
  /** Longest silence on a watch: bookmarks come about every minute. */
  readonly watchIdleMs: number
  /** One answer: a page of 500 objects of 100 KiB. */
  readonly responseBytesMax: number
  /** One watch event: etcd's object limit of 1.5 MiB, twice over, and room for both encodings. */
  readonly lineBytesMax: number
}

export const DEFAULT_LIMITS: TransportLimits = {
  requestTimeoutMs: 30_000,
  watchIdleMs: 120_000,
  responseBytesMax: 64 * 1024 * 1024,
  lineBytesMax: 8 * 1024 * 1024,
}

export interface HttpExchange {
  readonly method: string
  /** Path and query below the server's prefix. */
  readonly path: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly contentType: string
  readonly retryAfterSeconds: number | undefined
  readonly body: string
}

/** A request that failed on a kept-alive socket before any answer: the server may have closed it idle. */
export class StaleConnectionError extends Error {}

const REQUEST_SOCKETS_MAX = 32
const ERROR_BODY_BYTES_MAX = 1024 * 1024

export class HttpTransport {
  readonly #connection: KubeConnection
  readonly #clock: Clock
  readonly #limits: TransportLimits
  readonly #prefix: URL
  readonly #requests = new Agent({ keepAlive: true, keepAliveMsecs: 10_000, maxSockets: REQUEST_SOCKETS_MAX })
  /** Watches hold their sockets for minutes and must never starve requests. */
  readonly #watches = new Agent({ keepAlive: true, keepAliveMsecs: 10_000 })

  constructor(connection: KubeConnection, clock: Clock, limits: TransportLimits) {
    this.#connection = connection
    this.#clock = clock
    this.#limits = limits
    this.#prefix = new URL(connection.server)
    if (this.#prefix.protocol !== 'https:') {
      throw new MeshError('KUBE_CREDENTIALS', `${connection.server} is not an https address`)
    }
  }

  close(): void {
    this.#requests.destroy()
    this.#watches.destroy()
  }

  /** The whole answer whatever its status; rejects with KubeError only when there is none. */
  async exchange(exchange: HttpExchange): Promise<HttpAnswer> {
    const deadline = this.#deadline(exchange.signal, this.#limits.requestTimeoutMs)
    try {
      return await this.#authorized(exchange, async (credentials) => {
        const { response, destroy } = await this.#send(exchange, credentials, this.#requests, deadline.signal)
        const body = await collect(response, this.#limits.responseBytesMax, destroy)
        return { status: response.statusCode ?? 0, ...describe(response), body }
      })
    } catch (error) {
      throw unreachable(error, exchange, deadline.expired())
    } finally {
      deadline.clear()
    }
  }

  /** Hands over each line of a streaming answer; resolves when the server ends it. */
  async stream(exchange: HttpExchange, totalMs: number, onLine: (line: string) => void): Promise<HttpAnswer> {
    const deadline = this.#deadline(exchange.signal, this.#limits.requestTimeoutMs)
    try {
      return await this.#authorized(exchange, async (credentials) => {
        const { response, destroy } = await this.#send(exchange, credentials, this.#watches, deadline.signal)
        const status = response.statusCode ?? 0
        if (status !== 200) {
          const body = await collect(response, ERROR_BODY_BYTES_MAX, destroy)
          return { status, ...describe(response), body }
        }
        const total = this.#clock.monotonic() + totalMs
        const extend = (): void =>
          deadline.extend(Math.min(this.#limits.watchIdleMs, Math.max(0, total - this.#clock.monotonic())))
        extend()
        await readLines(response, { bytesMax: this.#limits.lineBytesMax, onLine, onData: extend, destroy })
        return { status, ...describe(response), body: '' }
      })
    } catch (error) {
      throw unreachable(error, exchange, deadline.expired())
    } finally {
      deadline.clear()
    }
  }

  /** A 401 is answered once with fresh credentials: tokens rotate under a running process. */
  async #authorized(
    exchange: HttpExchange,
    attempt: (credentials: KubeCredentials) => Promise<HttpAnswer>,
  ): Promise<HttpAnswer> {
    const answer = await attempt(await this.#connection.credentials(false))
    if (answer.status !== 401 || exchange.signal?.aborted === true) return answer
    return attempt(await this.#connection.credentials(true))
  }

  #send(
    exchange: HttpExchange,
    credentials: KubeCredentials,
    agent: Agent,
    signal: AbortSignal,
  ): Promise<{ response: IncomingMessage; destroy: () => void }> {
    const { headers: authorization, ...tls } = credentials
    const options: RequestOptions = {
      ...tls,
      method: exchange.method,
      host: this.#prefix.hostname.replaceAll(/[[\]]/g, ''),
      port: this.#prefix.port === '' ? 443 : Number(this.#prefix.port),
      path: `${this.#prefix.pathname.replace(/\/$/, '')}${exchange.path}`,
      agent,
      signal,
      headers: {
        ...authorization,
        ...exchange.headers,
        ...(exchange.body === undefined ? {} : { 'content-length': Buffer.byteLength(exchange.body) }),
      },
      ...(this.#connection.lookup === undefined ? {} : { lookup: this.#connection.lookup }),
    }
    return new Promise((resolve, reject) => {
      const request = httpsRequest(options, (response) => resolve({ response, destroy: () => void request.destroy() }))
      // Stays on: a socket may fail again after the answer began, and no one else listens then.
      request.on('error', (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(stale ? new StaleConnectionError(error.message, { cause: error }) : error)
      })
      request.end(exchange.body)
    })
  }

  #deadline(outer: AbortSignal | undefined, timeoutMs: number): Deadline {
    const controller = new AbortController()
    let expired = false
    const arm = (delayMs: number): (() => void) =>
      this.#clock.after(delayMs, () => {
        expired = true
        controller.abort()
      })
    let cancel = arm(timeoutMs)
    const onAbort = (): void => controller.abort()
    if (outer?.aborted === true) controller.abort()
    outer?.addEventListener('abort', onAbort, { once: true })
    return {
      signal: controller.signal,
      expired: () => expired,
      extend: (delayMs) => {
        cancel()
        cancel = arm(delayMs)
      },
      clear: () => {
        cancel()
        outer?.removeEventListener('abort', onAbort)
      },
    }
  }
}

interface Deadline {
  readonly signal: AbortSignal
  expired(): boolean
  extend(delayMs: number): void
  clear(): void
}

function describe(response: IncomingMessage): Pick<HttpAnswer, 'contentType' | 'retryAfterSeconds'> {
  const retryAfter = Number(response.headers['retry-after'])
  return {
    contentType: response.headers['content-type'] ?? '',
    retryAfterSeconds: Number.isFinite(retryAfter) && retryAfter >= 0 ? retryAfter : undefined,
  }
}

async function collect(response: IncomingMessage, bytesMax: number, destroy: () => void): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      destroy()
      throw new KubeError(0, 'ResponseTooLarge', `the API server's answer exceeds ${bytesMax} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

interface LineReader {
  readonly bytesMax: number
  readonly onLine: (line: string) => void
  readonly onData: () => void
  readonly destroy: () => void
}

async function readLines(response: IncomingMessage, reader: LineReader): Promise<void> {
  const partial: Buffer[] = []
  let partialBytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      reader.onData()
      let start = 0
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        partial.push(chunk.subarray(start, end))
        const line = Buffer.concat(partial.splice(0)).toString('utf8')
        partialBytes = 0
        start = end + 1
        if (line !== '') reader.onLine(line)
      }
      if (start < chunk.length) {
        partial.push(chunk.subarray(start))
        partialBytes += chunk.length - start
      }
      if (partialBytes > reader.bytesMax) {
        throw new KubeError(0, 'ResponseTooLarge', `a watch event exceeds ${reader.bytesMax} bytes`)
      }
    }
  } catch (error) {
    reader.destroy()
    throw error
  }
}

function unreachable(error: unknown, exchange: HttpExchange, expired: boolean): unknown {
  if (error instanceof KubeError || error instanceof MeshError || error instanceof StaleConnectionError) return error
  const path = exchange.path.split('?', 1)[0] ?? ''
  const why = expired ? 'no answer in time' : messageOf(error)
  return new KubeError(
    0,
    exchange.signal?.aborted === true ? 'Aborted' : 'Unreachable',
    `${exchange.method} ${path}: ${why}`,
    {
      cause: error,
    },
  )
}
