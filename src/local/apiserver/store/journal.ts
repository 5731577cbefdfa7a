/**
 * The journal: one file, one line per write, checksummed. A line is in the kernel before its write is acknowledged, so
 * SIGKILL loses nothing; fdatasync follows within `syncDelayMs`, so a power cut loses at most that. Compaction writes
 * a new file and renames it over the old one. Not a database: the live objects are all in memory.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Cancel, Clock } from '../../../runtime/clock.ts'
import { MeshError } from '../../../runtime/errors.ts'
import type { Log } from '../../../runtime/log.ts'

/** `o` absent: the key was removed; a removal may carry the last state in `l`. */
export interface JournalRecord {
  readonly rv: number
  /** Storage key of the kind, e.g. `deployments.apps`; empty for the header line of a compacted file. */
  readonly t: string
  readonly k: string
  readonly o?: unknown
  readonly l?: unknown
}

/** Gets every intact record in order, with its size on disk. */
export type Replay = (record: JournalRecord, bytes: number) => void

export interface JournalOptions {
  readonly directory: string
  readonly clock: Clock
  readonly log: Log
  /** Tests fill the disk here. */
  readonly write?: (fd: number, bytes: Buffer, offset: number) => number
}

const SYNC_DELAY_MS = 50 // a burst of an `apply` becomes one fdatasync
const COMPACT_BYTES_MIN = 4 * 1024 * 1024 // below this, reading it at start takes < 50 ms
const COMPACT_RATIO = 4 // rewrite when dead lines outweigh live ones by this

export class Journal {
  readonly #path: string
  readonly #options: JournalOptions
  #fd: number
  #bytes = 0
  #liveBytes = 0
  #cancelSync: Cancel | undefined
  #broken: string | undefined

  private constructor(options: JournalOptions, path: string, fd: number) {
    this.#options = options
    this.#path = path
    this.#fd = fd
  }

  /** Opens and replays. A torn last line is cut off. */
  static open(options: JournalOptions, replay: Replay): Journal {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 })
    const path = join(options.directory, 'journal')
    rmSync(`${path}.new`, { force: true }) // a compaction that did not get as far as its rename
    const content = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
    const intact = replayLines(content, path, replay)
    const fd = openSync(path, 'a', 0o600)
    const journal = new Journal(options, path, fd)
    if (intact < content.length) {
      options.log.warn({ bytes: content.length - intact }, 'journal: cut off a torn last record')
      ftruncateSync(fd, intact)
    }
    journal.#bytes = intact // how much of it is live is not known: a large file is compacted at the first write
    return journal
  }

  /** Bytes written. Throws when the record cannot be written; then nothing of it is in the file. */
  append(record: JournalRecord): number {
    if (this.#broken !== undefined) throw new Error(this.#broken)
    const line = encode(record)
    try {
      this.#writeAll(this.#fd, line)
    } catch (error) {
      this.#undoPartialWrite()
      throw error
    }
    this.#bytes += line.length
    this.#scheduleSync()
    return line.length
  }

  get wantsCompaction(): boolean {
    return this.#bytes > COMPACT_BYTES_MIN && this.#bytes > this.#liveBytes * COMPACT_RATIO
  }

  /** Replaces the file by one holding only `live`; on failure the old file stays in use. */
  compact(resourceVersion: number, live: Iterable<JournalRecord>): void {
    const path = `${this.#path}.new`
    let fd: number | undefined
    try {
      fd = openSync(path, 'w', 0o600)
      let bytes = 0
      for (const record of [{ rv: resourceVersion, t: '', k: '' }, ...live]) {
        const line = encode(record)
        this.#writeAll(fd, line)
        bytes += line.length
      }
      fsyncSync(fd)
      closeSync(fd)
      fd = undefined
      renameSync(path, this.#path)
      this.#reopen(bytes)
    } catch (error) {
      if (fd !== undefined) closeSync(fd)
      rmSync(path, { force: true })
      this.#liveBytes = this.#bytes // do not try again before the file has grown as much once more
      this.#options.log.warn({ err: error }, 'journal: compaction failed, the old file stays')
    }
  }

  close(): void {
    this.#cancelSync?.()
    try {
      fsyncSync(this.#fd)
    } finally {
      closeSync(this.#fd)
    }
    this.#broken = 'the store is closed'
  }

  #reopen(bytes: number): void {
    const old = this.#fd
    this.#fd = openSync(this.#path, 'a', 0o600)
    closeSync(old)
    this.#bytes = bytes
    this.#liveBytes = bytes
    const directory = openSync(this.#options.directory, 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  }

  #writeAll(fd: number, bytes: Buffer): void {
    const write = this.#options.write ?? writeSync
    let written = 0
    while (written < bytes.length) written += write(fd, bytes, written)
  }

  /** Half a line would make every later line unreadable: cut it off, or refuse all further writes. */
  #undoPartialWrite(): void {
    try {
      ftruncateSync(this.#fd, this.#bytes)
    } catch (error) {
      this.#broken = `the journal is damaged and could not be repaired: ${String(error)}`
    }
  }

  #scheduleSync(): void {
    if (this.#cancelSync !== undefined) return
    this.#cancelSync = this.#options.clock.after(SYNC_DELAY_MS, () => {
      this.#cancelSync = undefined
      const fd = this.#fd
      fdatasync(fd, (error) => {
        // EBADF: closed or replaced by a compaction, which synced by itself.
        if (error !== null && error.code !== 'EBADF') {
          this.#broken = `the disk refused to sync the journal: ${error.message}`
          this.#options.log.error({ err: error }, 'journal: fdatasync failed; writes are refused from now on')
        }
      })
    })
  }
}

function encode(record: JournalRecord): Buffer {
  const json = JSON.stringify(record)
  return Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} ${json}\n`)
}

/** Bytes that are intact. Damage before the last line is not a torn write: it stops the start. */
function replayLines(content: Buffer, path: string, replay: Replay): number {
  let start = 0
  while (start < content.length) {
    const end = content.indexOf(0x0a, start)
    if (end < 0) return start
    const record = decode(content.toString('utf8', start, end))
    if (record === undefined) {
      if (content.indexOf(0x0a, end + 1) < 0) return start
      throw new MeshError('LOCAL_STATE', `${path}: the record at byte ${start} is damaged`, {
        hint: 'Restore the file from a copy, or remove it and start an empty cluster.',
      })
    }
    replay(record, end + 1 - start)
    start = end + 1
  }
  return start
}

function decode(line: string): JournalRecord | undefined {
  const json = line.slice(9)
  if (line[8] !== ' ' || crc32(json) !== Number.parseInt(line.slice(0, 8), 16)) return undefined
  return JSON.parse(json) as JournalRecord
}
