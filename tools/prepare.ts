/**
 * What `npm ci` runs at its end: generate `gen/`, build `dist/`, link the `isthmus` command. Fast when nothing changed,
 * so that installing one more dependency does not cost a build. Not the way to build while developing: `npm run build`.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { linkBin } from './bin.ts'
import { generate } from './gen.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const STAMP = join(ROOT, 'dist/.inputs')
const SOURCES = ['src', 'federation', 'gateways', 'terraform', 'examples'] as const
const SETTINGS = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'gen/.inputs'] as const

function hashSources(): string {
  const hash = createHash('sha256')
  const files: string[] = [...SETTINGS]
  for (const folder of SOURCES) {
    if (!existsSync(join(ROOT, folder))) continue
    for (const path of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).toSorted()) {
      if (path.endsWith('.ts') && !path.endsWith('.test.ts')) files.push(join(folder, path))
    }
  }
  for (const path of files)
    hash
      .update(path)
      .update('\0')
      .update(readFileSync(join(ROOT, path)))
  return hash.digest('hex')
}

function build(): void {
  const inputs = hashSources()
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === inputs) return
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const run = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' })
  if (run.status !== 0) {
    console.error('isthmus: the build failed; the errors stand above')
    process.exit(1)
  }
  writeFileSync(STAMP, inputs)
}

generate()
build()
linkBin()
