/** Runs h2spec (github.com/summerwind/h2spec) against all that speaks HTTP/2; skipped where the program is absent. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PLACES } from './places.ts'

const program = findProgram()

function findProgram(): string | undefined {
  const installed = join(homedir(), 'go/bin/h2spec')
  if (existsSync(installed)) return installed
  try {
    execFileSync('h2spec', ['--version'])
    return 'h2spec'
  } catch {
    return undefined
  }
}

/** By place; each line is `place: case — reason`. */
const knownFailures = readFileSync(join(import.meta.dirname, 'known-failures.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' — ')[0] ?? '')

const knownAt = (place: string): string[] =>
  knownFailures.flatMap((line) => (line.startsWith(`${place}: `) ? [line.slice(place.length + 2)] : []))

/** Names of failed cases, `package: description`, and the number of all cases, out of h2spec's JUnit report. */
function readReport(xml: string): { failed: string[]; total: number } {
  const cases = [...xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(\/>|>([^]*?)<\/testcase>)/g)]
  return {
    failed: cases.filter((found) => /<(failure|error)/.test(found[4] ?? '')).map((found) => `${found[1]}/${found[2]}`),
    total: cases.length,
  }
}

/** Runs all of it against a port of this machine; names of failed cases, and how many there are. */
async function judge(port: number): Promise<ReturnType<typeof readReport>> {
  const directory = mkdtempSync(join(tmpdir(), 'h2spec-'))
  const report = join(directory, 'report.xml')
  try {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-o', '2', '-j', report]
    await new Promise<void>((resolve) => {
      // Its exit code says no more than the report does.
      execFile(program ?? '', args, () => resolve())
    })
    return readReport(readFileSync(report, 'utf8'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const INSTALL = 'skipped: h2spec is absent (go install github.com/summerwind/h2spec/cmd/h2spec@latest)'

describe.skipIf(program === undefined)(program === undefined ? INSTALL : 'h2spec', () => {
  it.each(Object.entries(PLACES))(
    'finds nothing but the known failures at %s',
    async (name, start) => {
      const place = await start()
      try {
        const { failed, total } = await judge(place.port)
        expect(total).toBeGreaterThanOrEqual(145)
        expect(failed.map((one) => one.replaceAll('&#34;', '"')).toSorted()).toEqual(
          [...knownAt('everywhere'), ...knownAt(name)].toSorted(),
        )
      } finally {
        await place.close()
      }
    },
    90_000,
  )
})
