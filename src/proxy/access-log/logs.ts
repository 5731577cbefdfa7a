/**
 * The access logs of a process: configured ones compiled into what a finished stream is shown to, and the sinks they
 * share, where lines are gathered and written many at a time. Opening a file is the process's (AccessLogOpener).
 */
import type { AccessLog, LogFilter, LogSink } from '../../model/config.ts'
import type { Random } from '../../runtime/random.ts'
import type { StreamFacts } from '../stream-facts.ts'
import { type TimerWheel, WheelTimer } from '../timer-wheel.ts'
import { compileLogFilter, type LogTest } from './filters.ts'
import { compileJson, compileText, type Writer } from './format.ts'

/** Where whole lines go. */
export interface LogTarget {
  write(lines: string): void
  /** The file may have been moved away. */
  reopen(): void
  close(): void
}

export type LogOpener = (sink: LogSink) => LogTarget

/** What one chain logs to; undefined where there is nothing. */
export type StreamLogs = readonly StreamLog[]

const WRITE_CHARS = 64 * 1024
const WRITE_AFTER_MS = 100

export class StreamLog {
  readonly #write: Writer
  readonly #test: LogTest | undefined
  readonly #sink: Sink

  constructor(write: Writer, test: LogTest | undefined, sink: Sink) {
    this.#write = write
    this.#test = test
    this.#sink = sink
  }

  log(facts: StreamFacts): void {
    if (this.#test === undefined || this.#test(facts)) this.#sink.add(this.#write(facts))
  }
}

class Sink {
  readonly target: LogTarget
  readonly #timers: TimerWheel
  readonly #timer: WheelTimer
  #text = ''
  #full = false

  constructor(target: LogTarget, timers: TimerWheel) {
    this.target = target
    this.#timers = timers
    this.#timer = new WheelTimer(() => this.flush())
  }

  add(text: string): void {
    if (this.#text === '') this.#timers.schedule(this.#timer, WRITE_AFTER_MS)
    this.#text += text
    if (this.#full || this.#text.length < WRITE_CHARS) return
    // After the requests of this turn, which wait for their bytes.
    this.#full = true
    setImmediate(() => this.flush())
  }

  flush(): void {
    this.#timers.cancel(this.#timer)
    this.#full = false
    const text = this.#text
    this.#text = ''
    if (text !== '') this.target.write(text)
  }
}

/** What a configuration is compiled with. */
export interface LogCompiler {
  compile(logs: readonly AccessLog[] | undefined): StreamLogs | undefined
  /** The same question for what is no log. */
  testOf(filter: LogFilter): LogTest
  settle(): void
}

/** Where configurations are only judged. */
export const NO_LOGS: LogCompiler = { compile: () => undefined, testOf: () => () => false, settle: () => {} }

export class AccessLogs implements LogCompiler {
  readonly #timers: TimerWheel
  readonly #random: Random
  readonly #open: LogOpener
  readonly #sinks = new Map<string, Sink>()
  #used = new Set<string>()

  constructor(parts: { readonly timers: TimerWheel; readonly random: Random; readonly open: LogOpener }) {
    this.#timers = parts.timers
    this.#random = parts.random
    this.#open = parts.open
  }

  compile(logs: readonly AccessLog[] | undefined): StreamLogs | undefined {
    if (logs === undefined || logs.length === 0) return undefined
    return logs.map(({ sink, format, filter }) => {
      const test = filter === undefined ? undefined : this.testOf(filter)
      return new StreamLog(writerOf(format), test, this.#sinkOf(sink))
    })
  }

  testOf(filter: LogFilter): LogTest {
    return compileLogFilter(filter, this.#random)
  }

  /** After a configuration was compiled: what it does not name is closed. */
  settle(): void {
    for (const [key, sink] of this.#sinks) {
      if (this.#used.has(key)) continue
      this.#sinks.delete(key)
      sink.flush()
      sink.target.close()
    }
    this.#used = new Set()
  }

  reopen(): void {
    for (const sink of this.#sinks.values()) {
      sink.flush()
      sink.target.reopen()
    }
  }

  close(): void {
    for (const sink of this.#sinks.values()) {
      sink.flush()
      sink.target.close()
    }
    this.#sinks.clear()
  }

  #sinkOf(sink: LogSink): Sink {
    const key = sink.kind === 'file' ? sink.path : sink.kind
    this.#used.add(key)
    const known = this.#sinks.get(key)
    if (known !== undefined) return known
    const made = new Sink(this.#open(sink), this.#timers)
    this.#sinks.set(key, made)
    return made
  }
}

function writerOf(format: AccessLog['format']): Writer {
  const options = { omitEmpty: format.omitEmpty === true }
  if (format.kind === 'json') {
    const write = compileJson(format.fields, options)
    return (facts) => `${write(facts)}\n`
  }
  const write = compileText(format.text, options)
  return typeof write === 'string' ? () => write : write
}

/** Shows a finished stream to each of them. */
export function logStream(logs: StreamLogs, facts: StreamFacts): void {
  for (const log of logs) log.log(facts)
}
