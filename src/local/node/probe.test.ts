import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../runtime/clock.ts'
import { ProbeLoop, runProbe, type ProbeResult } from './probe.ts'

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

function loop(answers: () => boolean, probe: object): { clock: ManualClock; verdicts: boolean[]; loop: ProbeLoop } {
  const clock = new ManualClock()
  const verdicts: boolean[] = []
  const ask = (): Promise<ProbeResult> => Promise.resolve({ ok: answers(), message: '' })
  const options = { probe, clock, ask, onVerdict: (verdict: ProbeResult) => void verdicts.push(verdict.ok) }
  return { clock, verdicts, loop: new ProbeLoop(options) }
}

const run = async (clock: ManualClock, durationMs: number): Promise<void> => {
  for (let passed = 0; passed < durationMs; passed += 50) {
    clock.advance(50)
    await settle()
  }
}

describe('ProbeLoop', () => {
  it('is ready soon after the program is, and counts failures only once per period', async () => {
    let ok = false
    const { clock, verdicts, loop: probing } = loop(() => ok, { periodSeconds: 10, failureThreshold: 3 })
    await run(clock, 19_000)
    expect(verdicts).toEqual([])
    ok = true
    await run(clock, 300)
    expect(verdicts).toEqual([true])
    ok = false
    await run(clock, 25_000)
    expect(verdicts).toEqual([true])
    await run(clock, 10_000)
    expect(verdicts).toEqual([true, false])
    probing.stop()
  })

  it('judges nothing while it is paused', async () => {
    let ok = true
    const { clock, verdicts, loop: probing } = loop(() => ok, { periodSeconds: 1, failureThreshold: 1 })
    await run(clock, 500)
    ok = false
    probing.pause(true)
    await run(clock, 5_000)
    expect(verdicts).toEqual([true])
    probing.pause(false)
    await run(clock, 1_500)
    expect(verdicts.at(-1)).toBe(false)
    probing.stop()
  })
})

describe('runProbe', () => {
  const target = { podIp: '127.0.0.1', ports: [], enter: [], cwd: '/', env: { PATH: process.env['PATH'] ?? '' } }

  it('asks over HTTP, TCP and by command', async () => {
    const server = createServer((request, response) => response.writeHead(request.url === '/ok' ? 204 : 503).end())
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const named = { ...target, ports: [{ name: 'http', containerPort: port }] }
    expect(await runProbe({ httpGet: { path: '/ok', port: 'http' } }, named)).toEqual({ ok: true, message: '' })
    const failed = await runProbe({ httpGet: { path: '/', port } }, target)
    expect(failed).toEqual({ ok: false, message: 'HTTP probe failed with statuscode: 503' })
    expect((await runProbe({ tcpSocket: { port } }, target)).ok).toBe(true)
    await new Promise((resolve) => server.close(resolve))
    expect((await runProbe({ tcpSocket: { port } }, target)).ok).toBe(false)
    expect((await runProbe({ exec: { command: ['true'] } }, target)).ok).toBe(true)
    const hung = await runProbe({ exec: { command: ['sleep', '9'] }, timeoutSeconds: 0.05 }, target)
    expect(hung).toEqual({ ok: false, message: 'command timed out' })
  })
})
