/** `kubectl logs`: the lines of a container's log as the options want them, and the new ones while someone follows. */
import type { LogOptions } from '../apiserver/server.ts'
import type { ContainerLog, LogLine } from './container-log.ts'

/** What a slow reader may be behind before lines are dropped for it. */
const BEHIND_LINES_MAX = 10_000

export async function* readLog(log: ContainerLog, options: LogOptions, nowMs: number): AsyncGenerator<Uint8Array> {
  const follow = options.follow && !options.previous
  // Subscribed before the file is read, so that no line falls between.
  const pending = follow ? new Pending(log, options.signal) : undefined
  let left = options.limitBytes ?? Infinity
  const take = (lines: readonly LogLine[]): Buffer => {
    const text = lines.map((line) => `${options.timestamps ? `${line.time} ` : ''}${line.text}\n`).join('')
    const bytes = Buffer.from(text).subarray(0, Number.isFinite(left) ? left : undefined)
    left -= bytes.length
    return bytes
  }
  try {
    const present = select(log.read(options.previous ? 'previous' : 'current'), options, nowMs)
    if (present.length > 0) yield take(present)
    if (pending === undefined) return
    for (let lines = await pending.next(); lines !== undefined; lines = await pending.next()) {
      const bytes = take(lines)
      if (bytes.length === 0) return
      yield bytes
    }
  } finally {
    pending?.close()
  }
}

function select(lines: LogLine[], options: LogOptions, nowMs: number): LogLine[] {
  const { tailLines, sinceSeconds } = options
  const since = sinceSeconds === undefined ? '' : new Date(nowMs - sinceSeconds * 1000).toISOString()
  const recent = since === '' ? lines : lines.filter((line) => line.time >= since)
  if (tailLines === undefined) return recent
  return tailLines === 0 ? [] : recent.slice(-tailLines)
}

class Pending {
  readonly #lines: LogLine[] = []
  readonly #stop: () => void
  #ended = false
  #wake: () => void = () => {}

  constructor(log: ContainerLog, signal: AbortSignal) {
    this.#stop = log.follow((line) => {
      if (line === undefined) this.#ended = true
      else if (this.#lines.length < BEHIND_LINES_MAX) this.#lines.push(line)
      this.#wake()
    })
    signal.addEventListener('abort', () => this.#end(), { once: true })
    if (signal.aborted) this.#end()
  }

  /** The lines since the last call; undefined when there will be none. */
  async next(): Promise<readonly LogLine[] | undefined> {
    if (this.#lines.length === 0 && !this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve))
    const lines = this.#lines.splice(0)
    return lines.length === 0 ? undefined : lines
  }

  close(): void {
    this.#stop()
  }

  #end(): void {
    this.#ended = true
    this.#wake()
  }
}
