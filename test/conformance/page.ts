/** Puts what a script measured into docs/security.md, between the marks that bear its name. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export function replaceSection(name: string, text: string): void {
  const file = join(import.meta.dirname, '../../docs/security.md')
  const page = readFileSync(file, 'utf8')
  const start = page.indexOf(`<!-- ${name}: `)
  const from = page.indexOf('-->', start) + 3
  const end = page.indexOf(`<!-- end of ${name} -->`)
  if (start < 0 || end < from) throw new Error(`${file} has no place for ${name}`)
  writeFileSync(file, `${page.slice(0, from)}\n\n${text}\n\n${page.slice(end)}`)
}
