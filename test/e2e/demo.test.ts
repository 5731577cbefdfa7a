/**
 * The main job, end to end and in another arrangement than the demo's own: other names, ports, clouds and order of
 * faults. Real processes of the built product; the gateways' wire is recorded in between.
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import type { DemoReport } from '../../src/cli/demo/report.ts'
import { createKubeClient } from '../../src/kube/http-client.ts'
import { kubeconfigConnection } from '../../src/kube/kubeconfig.ts'
import { SERVICES } from '../../src/kube/kinds.ts'
import { SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../../src/model/names.ts'
import { PORTS } from '../../src/model/ports.ts'
import { startRelay, type Relay } from '../harness/relay.ts'
import { repositoryRoot } from '../harness/repository.ts'

/** The value the client sends as a header with every request (arrangement/client.yaml). */
const SECRET = 'only-the-two-ends-may-read-this-4711'
const RECORD_BYTES_MAX = 64 * 1024 * 1024

interface Arrangement {
  mesh: string
  clusters: { name: string; gatewayAddress?: string }[]
}

let directory: string
let relays: Map<string, Relay>
let outcome: { code: number | null; stderr: string; report: DemoReport }

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isthmus-e2e-'))
  await cp(join(repositoryRoot, 'test/e2e/arrangement'), directory, { recursive: true })
  const file = join(directory, 'demo.yaml')
  const arrangement = parse(await readFile(file, 'utf8')) as Arrangement
  relays = new Map()
  for (const cluster of arrangement.clusters) {
    const relay = await startRelay({ target: () => gatewayOf(cluster.name), recordBytesMax: RECORD_BYTES_MAX })
    relays.set(cluster.name, relay)
    cluster.gatewayAddress = `127.0.0.1:${relay.port}`
  }
  await writeFile(file, stringify(arrangement))
  const run = await runDemo([
    '--config',
    file,
    '--state',
    join(directory, 'state'),
    '--report',
    join(directory, 'report.json'),
  ])
  const report = JSON.parse(await readFile(join(directory, 'report.json'), 'utf8').catch(() => '{}')) as DemoReport
  outcome = { ...run, report }
})

afterAll(async () => {
  await Promise.all([...relays.values()].map((relay) => relay.close()))
  await rm(directory, { recursive: true, force: true })
})

async function gatewayOf(cluster: string): Promise<{ host: string; port: number }> {
  const client = createKubeClient(
    await kubeconfigConnection({ path: join(directory, 'state', 'kubeconfig'), context: cluster }),
  )
  try {
    const service = await client.get(SERVICES, SYSTEM_ACCOUNTS.eastWest, SYSTEM_NAMESPACE)
    const host = service?.status?.loadBalancer?.ingress?.[0]?.ip
    if (host === undefined) throw new Error(`the gateway of ${cluster} has no address yet`)
    return { host, port: PORTS.eastWest }
  } finally {
    client.close()
  }
}

function runDemo(flags: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [join(repositoryRoot, 'dist/src/main.js'), 'demo', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdout.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })))
}

describe('isthmus demo', () => {
  it('passes by its own judgement', () => {
    expect(outcome.report.reasons, outcome.stderr).toEqual([])
    expect(outcome.code, outcome.stderr).toBe(0)
  })

  it('moves each fault’s traffic within 5 s and loses at most one request in a hundred', () => {
    expect(outcome.report.events.map(({ event }) => event)).toEqual(['cut-cluster beta', 'kill-pods alpha/basket'])
    for (const event of outcome.report.events) {
      expect(event.shareBefore).toBeGreaterThanOrEqual(0.3)
      expect(event.movedMs).toBeLessThanOrEqual(5_000)
    }
    expect(outcome.report.successRatio).toBeGreaterThanOrEqual(0.99)
    expect(outcome.report.requests).toBeGreaterThan(3_500)
  })

  it('fails over to the nearest healthy cluster', () => {
    expect(outcome.report.shares['steady']?.['stock']?.['beta']).toBeGreaterThan(0.95)
    expect(outcome.report.shares['cut-cluster beta']?.['stock']?.['gamma']).toBeGreaterThan(0.3)
    // Alpha's basket pods gone, beta is the nearest that has it.
    expect(outcome.report.shares['kill-pods alpha/basket']?.['basket']?.['beta']).toBeGreaterThan(0.9)
  })

  it('shows the wire between clusters nothing of a request', () => {
    const recorded = [...relays.values()].map((relay) => relay.recorded())
    const wire = Buffer.concat(recorded)
    // The recording is real: it holds the outer handshakes, whose server names are in clear.
    expect(wire.includes('gateway.beta.bazaar.example')).toBe(true)
    expect(wire.length).toBeGreaterThan(200_000)
    for (const hidden of [SECRET, 'x-shop-pods', 'basket-', 'stock-', 'traceparent'])
      expect(wire.includes(hidden), hidden).toBe(false)
  })

  it('leaves no process and no file behind', async () => {
    const left: string[] = []
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (`${environment}${line}`.includes(directory)) left.push(line.replaceAll('\0', ' '))
    }
    expect(left).toEqual([])
    expect(await readdir(join(directory, 'state')).catch(() => [])).toEqual([])
  })
})
