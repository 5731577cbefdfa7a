/** Texts that a configuration names: read when it is compiled, so that a missing file refuses it and not its requests. */
import { readFileSync, statSync } from 'node:fs'
import type { DataSource, HiddenSource } from '../model/config.ts'

const FILE_BYTES_MAX = 1024 * 1024

/** A part of a configuration cannot be run as it is; becomes a rejection. */
export class CompileFault extends Error {}

export function readSource(source: DataSource | HiddenSource): string {
  if ('text' in source) return source.text
  if ('hidden' in source) return source.hidden.reveal()
  if ('env' in source) return process.env[source.env] ?? fail(`environment variable ${source.env} is not set`)
  let text: string
  try {
    text = statSync(source.file).size > FILE_BYTES_MAX ? '' : readFileSync(source.file, 'utf8')
  } catch (error) {
    const { code = 'unreadable' } = error as { readonly code?: string }
    return fail(`${source.file} cannot be read (${code})`)
  }
  return text === '' ? fail(`${source.file} is empty or longer than 1 MiB`) : text
}

function fail(message: string): never {
  throw new CompileFault(message)
}
