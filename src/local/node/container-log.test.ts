import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../../runtime/clock.ts'
import { ContainerLog } from './container-log.ts'
import { readLog } from './log-reader.ts'

let directory: string
let clock: ManualClock
let log: ContainerLog

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'isthmus-log-'))
  clock = new ManualClock(Date.UTC(2026, 0, 1))
  log = new ContainerLog(directory, clock)
})

afterEach(() => {
  log.end()
  rmSync(directory, { recursive: true, force: true })
})

const write = (text: string): void => log.write('stdout', Buffer.from(text))

const read = async (options: object = {}): Promise<string> => {
  const all = { follow: false, previous: false, timestamps: false, signal: new AbortController().signal, ...options }
  let text = ''
  for await (const chunk of readLog(log, all, clock.now())) text += Buffer.from(chunk).toString()
  return text
}

describe('ContainerLog', () => {
  it('puts lines together across chunks and keeps the one before a restart', async () => {
    log.begin(0)
    write('one\ntw')
    write('o\nhalf')
    log.begin(1)
    write('again\n')
    expect(await read()).toBe('again\n')
    expect(await read({ previous: true })).toBe('one\ntwo\nhalf\n')
  })

  it('stays within its bound and keeps the newest', async () => {
    log.begin(0)
    const line = `${'x'.repeat(1_000)}\n`
    for (let count = 0; count < 6_000; count++) write(line)
    write('last\n')
    const bytes = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
    expect(bytes).toBeLessThan(4.2 * 1024 * 1024)
    expect(await read({ tailLines: 1 })).toBe('last\n')
  })
})

describe('readLog', () => {
  it('selects by tail, time and bytes, with timestamps when asked', async () => {
    log.begin(0)
    write('old\n')
    clock.advance(60_000)
    write('new\n')
    expect(await read({ tailLines: 0 })).toBe('')
    expect(await read({ sinceSeconds: 30 })).toBe('new\n')
    expect(await read({ limitBytes: 5 })).toBe('old\nn')
    expect(await read({ tailLines: 1, timestamps: true })).toBe('2026-01-01T00:01:00.000Z new\n')
  })

  it('follows until the run ends', async () => {
    log.begin(0)
    write('first\n')
    const followed = read({ follow: true })
    await Promise.resolve()
    write('second\n')
    log.end()
    expect(await followed).toBe('first\nsecond\n')
  })
})
