/**
 * `node test/sim/faults.ts [NAME…]`: bugs that were put in on purpose, one patch each, in copies of the sources. A
 * simulation that does not find each of them within 2,000 schedules would not find the next real one either.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const FAULTS = join(import.meta.dirname, 'faults')
const SCHEDULES = 2_000

/** Where one fault's patch is applied; the rest of the repository is not needed. */
function copyWith(patch: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'isthmus-fault-'))
  for (const folder of ['src', 'federation', 'test/sim'])
    cpSync(join(root, folder), join(copy, folder), { recursive: true })
  for (const folder of ['node_modules', 'gen']) symlinkSync(join(root, folder), join(copy, folder))
  cpSync(join(root, 'package.json'), join(copy, 'package.json'))
  // Outside any repository, or git would look for the files there.
  execFileSync('git', ['apply', '--whitespace=nowarn', patch], {
    cwd: copy,
    env: { ...process.env, GIT_DIR: join(copy, 'none') },
  })
  return copy
}

async function find(name: string): Promise<boolean> {
  let copy: string
  try {
    copy = copyWith(join(FAULTS, `${name}.patch`))
  } catch {
    process.stdout.write(`NOT FOUND: ${name}: the patch does not apply any more; make it anew\n`)
    return false
  }
  try {
    const args = ['test/sim/run.ts', '--schedules', String(SCHEDULES), '--until-failure']
    const child = spawn(process.execPath, args, { cwd: copy, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    const [code] = (await once(child, 'close')) as [number | null]
    const found = /^seed \d+: .*$/m.exec(text)?.[0]
    process.stdout.write(`${code === 1 && found !== undefined ? 'found' : 'NOT FOUND'}: ${name}: ${found ?? text}\n`)
    return code === 1 && found !== undefined
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

const wanted = process.argv.slice(2)
const names = readdirSync(FAULTS)
  .filter((file) => file.endsWith('.patch'))
  .map((file) => file.slice(0, -'.patch'.length))
  .filter((name) => wanted.length === 0 || wanted.includes(name))
let missed = 0
for (const name of names) if (!(await find(name))) missed++
process.stdout.write(`${names.length - missed} of ${names.length} faults found\n`)
process.exitCode = missed === 0 ? 0 : 1
