import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../runtime/clock.ts'
import { EnvoyAdmin } from './envoy-admin.ts'
import { EnvoyProcess, findEnvoy } from './envoy-process.ts'

const PATIENCE = { timeout: 10_000 } as const
const directory = mkdtempSync(join(tmpdir(), 'envoy-process-'))
afterAll(() => rmSync(directory, { recursive: true }))

/** A program in Envoy's place. */
function program(name: string, script: string): string {
  const path = join(directory, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

const options = (path: string): ConstructorParameters<typeof EnvoyProcess>[0] => ({
  program: path,
  searchPath: '',
  config: 'c.json',
  cwd: directory,
  logLevel: 'off',
  concurrency: 2,
  drainMs: 300,
})

describe('findEnvoy', () => {
  it('takes a path as it is, and looks for a name', () => {
    const path = program('found', 'exit 0')
    expect(findEnvoy(path, '')).toBe(path)
    expect(findEnvoy('found', `/nowhere:${directory}`)).toBe(path)
  })

  it('says what is missing, and where it looked', () => {
    expect(() => findEnvoy('no-such-envoy', directory)).toThrow(
      `no-such-envoy is no program that can be run in PATH (${directory})`,
    )
    expect(() => findEnvoy('/nowhere/envoy', directory)).toThrow('/nowhere/envoy is no program that can be run')
    // In the working directory of whoever started us there may be anything.
    expect(() => findEnvoy('found', '.:')).toThrow()
  })
})

describe('EnvoyProcess', () => {
  it('ends with the code of the program, and of the signal that ended it', async () => {
    expect(await new EnvoyProcess(options(program('code', 'exit 7')), {}).ended).toBe(7)
    expect(await new EnvoyProcess(options(program('signal', 'kill -9 $$')), {}).ended).toBe(137)
  })

  it('hands over nothing of the environment that is the agent’s', async () => {
    const path = program('environment', '[ -z "$SECRET" ] && [ -n "$PATH" ] && [ "$ISTHMUS_PEER" = "workload=x" ]')
    const env = { SECRET: 's', PATH: process.env['PATH'] ?? '', ISTHMUS_PEER: 'workload=x' }
    expect(await new EnvoyProcess(options(path), env).ended).toBe(0)
  })

  describe('drains', () => {
    const asked: string[] = []
    let active = 1
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.end(request.url?.startsWith('/stats') === true ? `http.x.downstream_rq_active: ${active}\n` : 'OK\n')
    })
    let admin: EnvoyAdmin
    beforeAll(async () => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      admin = new EnvoyAdmin('127.0.0.1', (server.address() as AddressInfo).port)
    })
    afterAll(() => void server.close())
    afterEach(() => asked.splice(0))

    it('until nothing is in flight', async () => {
      const envoy = new EnvoyProcess(
        options(program('calm', 'trap "exit 0" TERM\n: > calm-runs\nwhile :; do sleep 0.05; done')),
        process.env,
      )
      await expect.poll(() => existsSync(join(directory, 'calm-runs')), PATIENCE).toBe(true)
      const code = envoy.drain(admin, systemClock)
      await expect.poll(() => asked, PATIENCE).toContain('POST /drain_listeners?graceful')
      active = 0
      expect(await code).toBe(0)
    })

    it('no longer than it may, and ends who will not go', async () => {
      active = 1
      const envoy = new EnvoyProcess(
        options(program('deaf', 'trap "" TERM\n: > deaf-runs\nwhile :; do sleep 0.05; done')),
        process.env,
      )
      await expect.poll(() => existsSync(join(directory, 'deaf-runs')), PATIENCE).toBe(true)
      const before = systemClock.monotonic()
      expect(await envoy.drain(admin, systemClock)).toBe(137)
      expect(systemClock.monotonic() - before).toBeLessThan(15_000)
    })
  })
})
