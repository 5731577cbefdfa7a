/** Runs h2spec (github.com/summerwind/h2spec) against the codec; skipped, by name, where the program is absent. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startH2specServer } from './server.ts'

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

const knownFailures = readFileSync(join(import.meta.dirname, 'known-failures.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' ')[0] ?? '')

/** Names of failed cases, `package: description`, and the number of all cases, out of h2spec's JUnit report. */
function readReport(xml: string): { failed: string[]; total: number } {
  const cases = [...xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(\/>|>([^]*?)<\/testcase>)/g)]
  return {
    failed: cases.filter((found) => /<(failure|error)/.test(found[4] ?? '')).map((found) => `${found[1]}/${found[2]}`),
    total: cases.length,
  }
}

describe('h2spec', () => {
  it.skipIf(program === undefined)(
    program === undefined
      ? 'skipped: h2spec is absent (go install github.com/summerwind/h2spec/cmd/h2spec@latest)'
      : 'every case passes but the known failures',
    async () => {
      const server = await startH2specServer()
      const directory = mkdtempSync(join(tmpdir(), 'h2spec-'))
      const report = join(directory, 'report.xml')
      try {
        const args = ['-h', '127.0.0.1', '-p', String(server.port), '-o', '2', '-j', report]
        await new Promise<void>((resolve) => {
          // Its exit code says no more than the report does.
          execFile(program ?? '', args, () => resolve())
        })
        const { failed, total } = readReport(readFileSync(report, 'utf8'))
        expect(total).toBeGreaterThanOrEqual(145)
        expect(failed).toEqual(knownFailures)
      } finally {
        await server.close()
        rmSync(directory, { recursive: true })
      }
    },
    60_000,
  )
})
