/** Texts that a configuration names: read when it is compiled, so that a missing file refuses it and not its requests. */
import { readFileSync, statSync } from 'node:fs'
import type { DataSource } from '../model/config.ts'

const FILE_BYTES_MAX = 1024 * 1024

/** A part of a configuration cannot be run as it is; becomes a rejection. */
export class CompileFault extends Error {}

export function readSource(source: DataSource): string {
  if ('inline' in source) return source.inline
  try {
    if (statSync(source.file).size > FILE_BYTES_MAX) throw new CompileFault(`${source.file} is longer than 1 MiB`)
    return readFileSync(source.file, 'utf8')
  } catch (error) {
    if (error instanceof CompileFault) throw error
    const { code = 'unreadable' } = error as { readonly code?: string }
    throw new CompileFault(`${source.file} cannot be read (${code})`)
  }
}
