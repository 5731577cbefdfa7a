import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { endLeftovers, isRunning, ProcessTable, startTicks, type ChildExit } from './process-table.ts'

let directory: string
let journal: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'isthmus-processes-'))
  journal = join(directory, 'processes')
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

const start = (
  table: ProcessTable,
  command: string[],
): { pid: number; exit: Promise<ChildExit>; output: () => string; signal: (signal: NodeJS.Signals) => void } => {
  let text = ''
  let child: ReturnType<ProcessTable['spawn']>
  const exit = new Promise<ChildExit>((resolve) => {
    child = table.spawn({
      command,
      cwd: directory,
      env: { PATH: process.env['PATH'] ?? '' },
      onOutput: (_stream, chunk) => (text += chunk.toString()),
      onExit: resolve,
    })
  })
  return { pid: child?.pid ?? 0, exit, output: () => text, signal: (signal) => child?.signal(signal) }
}

describe('ProcessTable', () => {
  it('reports exit codes, signals, and programs that do not exist', async () => {
    const table = new ProcessTable(journal)
    expect(await start(table, ['sh', '-c', 'echo hi; exit 3']).exit).toMatchObject({ code: 3, signal: undefined })
    const sleeper = start(table, ['sleep', '100'])
    sleeper.signal('SIGKILL')
    expect(await sleeper.exit).toMatchObject({ code: 137, signal: 'SIGKILL' })
    const missing = await start(table, ['no-such-program']).exit
    expect(missing).toMatchObject({ code: 128 })
    expect(missing.error).toContain('ENOENT')
    expect(table.size).toBe(0)
  })

  it('takes the whole group along when its leader ends', async () => {
    const table = new ProcessTable(journal)
    const leader = start(table, ['sh', '-c', 'sleep 100 & echo $!; exit 0'])
    await leader.exit
    await expect.poll(() => leader.output()).toMatch(/^[0-9]+\n$/)
    const child = Number(leader.output())
    await expect.poll(() => isRunning(child, startTicks(child) ?? 'gone')).toBe(false)
  })
})

describe('endLeftovers', () => {
  it('ends what an earlier run recorded, and never a stranger with the same pid', async () => {
    const table = new ProcessTable(journal)
    const left = start(table, ['sleep', '100'])
    const other = start(new ProcessTable(join(directory, 'other')), ['sleep', '100'])
    // The stranger: its pid stands in the journal with the ticks of another life.
    writeFileSync(journal, `${readFileSync(journal, 'utf8')}${other.pid} 12345\nnonsense\n1 1\n`)
    expect(endLeftovers(journal)).toBe(1)
    expect(await left.exit).toMatchObject({ signal: 'SIGKILL' })
    expect(isRunning(other.pid, startTicks(other.pid) ?? '')).toBe(true)
    other.signal('SIGKILL')
    await other.exit
    expect(existsSync(journal)).toBe(false)
    expect(endLeftovers(journal)).toBe(0)
  })
})
