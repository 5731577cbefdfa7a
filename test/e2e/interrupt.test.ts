/**
 * A demo that is interrupted or killed in the middle: Ctrl-C ends it with 130 and no trace; after SIGKILL its clusters
 * notice by themselves, and the next start is as good as the first. TMPDIR is the test's own, so that every file shows.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { delay, systemClock } from '../../src/runtime/clock.ts'
import { Lines } from '../harness/lines.ts'
import { finish, isthmusMain, processesOf, run, start, type Outcome } from '../harness/process.ts'
import { repositoryRoot } from '../harness/repository.ts'

const CONFIG = join(repositoryRoot, 'test/e2e/pair/demo.yaml')
const GONE_TIMEOUT_MS = 10_000
const GONE_STEP_MS = 100

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isthmus-interrupt-'))
})

afterEach(() => rm(directory, { recursive: true, force: true }))

interface Demo {
  readonly child: ChildProcessWithoutNullStreams
  /** What it says on stderr. */
  readonly lines: Lines
  readonly ended: Promise<Outcome>
}

function demo(...flags: string[]): Demo {
  const args = [isthmusMain, 'demo', '--config', CONFIG, '--phase-seconds', '60', ...flags]
  const child = start(process.execPath, args, { env: { TMPDIR: directory } })
  const lines = new Lines()
  child.stderr.on('data', (chunk: Buffer) => lines.push(chunk.toString()))
  return { child, lines, ended: finish(child) }
}

/** Until no process names the test's directory; what is left after a few seconds is returned. */
async function survivors(): Promise<readonly string[]> {
  const deadline = systemClock.monotonic() + GONE_TIMEOUT_MS
  for (;;) {
    const left = await processesOf(directory)
    if (left.length === 0 || systemClock.monotonic() > deadline) return left.map(({ commandLine }) => commandLine)
    await delay(systemClock, GONE_STEP_MS)
  }
}

const clustersStart = async (): Promise<void> => {
  while ((await processesOf(directory)).length < 2) await delay(systemClock, GONE_STEP_MS)
}
const saying =
  (text: string) =>
  ({ lines }: Demo): Promise<string> =>
    lines.next((line) => line.includes(text))
const meshInstalls = saying('API server up')
const clustersJoin = saying('installed in')
const loadRuns = saying('ready for traffic')

/** The demo waits for everyone by itself: whatever is there when it has ended is left for good. */
async function expectInterrupted({ child, ended }: Demo): Promise<void> {
  child.kill('SIGINT')
  const { code, stderr } = await ended
  expect(code, stderr).toBe(130)
  expect(stderr).not.toContain('isthmus:')
  expect((await processesOf(directory)).map(({ commandLine }) => commandLine)).toEqual([])
  expect(await readdir(directory)).toEqual([])
}

describe('Ctrl-C ends the demo with 130, and nothing is left', () => {
  it('while the clusters start', async () => {
    const running = demo()
    await clustersStart()
    await expectInterrupted(running)
  })

  it('while the mesh is installed, also when it was to be kept', async () => {
    const running = demo('--keep', '--state', join(directory, 'state'))
    await meshInstalls(running)
    await expectInterrupted(running)
  })
})

describe('SIGKILL', () => {
  it('of the demo takes its clusters along; the next one starts as ever, and Ctrl-C ends it during the load', async () => {
    const state = join(directory, 'state')
    const killed = demo('--state', state)
    await clustersJoin(killed)
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(await survivors()).toEqual([])
    expect(await readdir(directory)).toEqual([])
    const next = demo('--state', state)
    await loadRuns(next)
    await expectInterrupted(next)
  })

  it('of demo and clusters at once leaves no process; the state that is left is named, and goes with one command', async () => {
    const state = join(directory, 'state')
    const killed = demo('--state', state)
    await clustersJoin(killed)
    killed.child.kill('SIGKILL')
    for (const { pid, commandLine } of await processesOf(directory))
      if (commandLine.includes('local serve')) process.kill(pid, 'SIGKILL')
    await killed.ended
    expect(await survivors()).toEqual([])
    const refused = await demo('--state', state).ended
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/\[LOCAL_STATE\] .*state holds clusters of an earlier run: east, west/)
    const way = `isthmus local down --purge --state ${state}`
    expect(refused.stderr).toContain(way)
    const purged = await run(process.execPath, [isthmusMain, ...way.split(' ').slice(1)])
    expect(purged.code, purged.stderr).toBe(0)
    expect(await readdir(state)).toEqual([])
  })
})
