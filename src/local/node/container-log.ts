/**
 * What a container writes, in files of bounded size: per run one file and one rotated before it, each line with its
 * time and stream. `kubectl logs` reads them; whoever follows gets new lines as they come. Not the mesh's access log
 * format: lines pass as they are.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../runtime/clock.ts'

/** Two such files per run, two runs per container: 8 MiB at most. */
const FILE_BYTES_MAX = 2 * 1024 * 1024

/** A longer line is cut into several, as container runtimes do. */
const LINE_BYTES_MAX = 16 * 1024

export type OutputStream = 'stdout' | 'stderr'

export interface LogLine {
  readonly time: string
  readonly text: string
}

export class ContainerLog {
  readonly #directory: string
  readonly #clock: Clock
  readonly #followers = new Set<(line: LogLine | undefined) => void>()
  readonly #partial: Record<OutputStream, string> = { stdout: '', stderr: '' }
  #file: number | undefined
  #bytes = 0
  #run = 0

  constructor(directory: string, clock: Clock) {
    this.#directory = directory
    this.#clock = clock
  }

  /** Opens the file of a run; the run before the previous one is forgotten. */
  begin(run: number): void {
    this.end()
    this.#run = run
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    for (const suffix of ['', '.1']) rmSync(this.#path(run - 2, suffix), { force: true })
    this.#file = openSync(this.#path(run), 'a', 0o600)
    this.#bytes = 0
  }

  write(stream: OutputStream, chunk: Buffer): void {
    const time = new Date(this.#clock.now()).toISOString()
    const lines = (this.#partial[stream] + chunk.toString('utf8')).split('\n')
    this.#partial[stream] = lines.pop() ?? ''
    if (this.#partial[stream].length > LINE_BYTES_MAX) {
      lines.push(this.#partial[stream])
      this.#partial[stream] = ''
    }
    this.#append(time, stream, lines)
  }

  /** The run is over: unfinished lines are written, followers are told. */
  end(): void {
    if (this.#file === undefined) return
    const time = new Date(this.#clock.now()).toISOString()
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#partial[stream] !== '') this.#append(time, stream, [this.#partial[stream]])
      this.#partial[stream] = ''
    }
    closeSync(this.#file)
    this.#file = undefined
    for (const follower of this.#followers) follower(undefined)
    this.#followers.clear()
  }

  /** Lines of the present run, or of the one before it. */
  read(which: 'current' | 'previous' = 'current'): LogLine[] {
    const run = which === 'current' ? this.#run : this.#run - 1
    return [...readLines(this.#path(run, '.1')), ...readLines(this.#path(run))]
  }

  /** New lines until the run ends (undefined) or the returned function is called. */
  follow(follower: (line: LogLine | undefined) => void): () => void {
    if (this.#file === undefined) queueMicrotask(() => follower(undefined))
    else this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  #append(time: string, stream: OutputStream, lines: readonly string[]): void {
    if (this.#file === undefined || lines.length === 0) return
    const mark = stream === 'stdout' ? 'o' : 'e'
    const block = lines.map((line) => `${time} ${mark} ${line}\n`).join('')
    try {
      // Synchronous on purpose: the order is kept, and nothing can pile up in memory behind a slow disk.
      this.#bytes += writeSync(this.#file, block)
      if (this.#bytes > FILE_BYTES_MAX) this.#rotate()
    } catch {
      // A full disk loses log lines, not pods.
    }
    for (const follower of this.#followers) for (const text of lines) follower({ time, text })
  }

  #rotate(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    renameSync(this.#path(this.#run), this.#path(this.#run, '.1'))
    this.#file = openSync(this.#path(this.#run), 'a', 0o600)
    this.#bytes = 0
  }

  #path(run: number, suffix = ''): string {
    return join(this.#directory, `${run}.log${suffix}`)
  }
}

function readLines(path: string): LogLine[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  const lines: LogLine[] = []
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ')
    if (space > 0) lines.push({ time: line.slice(0, space), text: line.slice(space + 3) })
  }
  return lines
}
