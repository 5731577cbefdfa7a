/**
 * One error class for what a person may have to read: a catalogue code, what happened to which object, why, and what
 * to do. docs/reference/errors.md lists every code; a test keeps both equal. Expected outcomes inside pure code are
 * unions, not throws.
 */
import { CATALOGUE, type ErrorCode } from './catalogue.ts'

export interface CatalogueEntry {
  /** What it means, one sentence for the reference page. */
  readonly title: string
  /** The way out, shown by log, status condition and CLI alike. */
  readonly hint: string
}

export class MeshError extends Error {
  readonly code: ErrorCode
  readonly hint: string

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MeshError'
    this.code = code
    this.hint = options.hint ?? CATALOGUE[code].hint
  }

  /** `[CODE] message. hint` */
  render(): string {
    return `[${this.code}] ${this.message}${this.hint === '' ? '' : `\n  ${this.hint}`}`
  }

  static from(cause: unknown, code: ErrorCode, what: string): MeshError {
    if (cause instanceof MeshError) return cause
    return new MeshError(code, `${what}: ${messageOf(cause)}`, { cause })
  }
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
