/** How the CLI speaks: aligned columns for people, JSON or YAML for programs. Nothing else writes to stdout. */
import { MeshError } from '../runtime/errors.ts'

export type OutputFormat = 'table' | 'json' | 'yaml'

export function outputFormat(flag: string | undefined): OutputFormat {
  if (flag === undefined || flag === 'wide' || flag === 'table') return 'table'
  if (flag === 'json' || flag === 'yaml') return flag
  throw new MeshError('USAGE', `-o ${flag} is not one of table, json, yaml`)
}

/** Columns two spaces apart, widths from the content; the first row is the header. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

export async function print(format: OutputFormat, value: unknown, table: () => string): Promise<void> {
  if (format === 'json') return writeLine(JSON.stringify(value, undefined, 2))
  if (format === 'yaml') return writeLine((await import('yaml')).stringify(value).trimEnd())
  writeLine(table())
}

export function writeLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Progress goes to stderr, so that stdout stays pipeable. */
export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** `5m`, `3h12m`: Kubernetes' way to write an age. */
export function age(fromMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - fromMs) / 1_000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`
}
