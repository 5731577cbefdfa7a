/** The kept seeds: one folder per target, one small file per seed; what ever failed stays in it for good. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, 'corpus')

export function seedsOf(target: string): { readonly name: string; readonly bytes: Buffer }[] {
  const folder = join(FOLDER, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .toSorted()
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
}

/** Returns where it is kept. */
export function keep(target: string, bytes: Buffer, prefix: string): string {
  const folder = join(FOLDER, target)
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${prefix}-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`)
  writeFileSync(file, bytes)
  return file
}
