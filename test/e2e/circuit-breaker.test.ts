/**
 * A CircuitBreakerPolicy from kubectl to callers: a service that fails is cut off, and found again when it is well.
 * checkout answers 502 while inventory, in the other cluster, has no pod: that is the failure.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { command, findClientPod, type ClientPod } from '../../src/cli/demo/client-pod.ts'
import type { ClusterPage } from '../../src/proxy/admin.ts'
import { startMesh, type Mesh } from '../harness/mesh.ts'
import { isInstalled, type Outcome } from '../harness/process.ts'

const hasKubectl = await isInstalled('kubectl', ['version', '--client'])
const CHECKOUT = 'outbound|80||checkout.shop.svc.clusterset.local'
const POLL = { timeout: 30_000, interval: 200 }

const policy = (spec: string): string => `
apiVersion: isthmus.dev/v1alpha1
kind: CircuitBreakerPolicy
metadata: { name: checkout, namespace: shop }
spec: ${spec}
`
const SPEC = `{ targetRefs: [{ kind: ServiceImport, name: checkout, port: 80 }], openFor: 1s, rampFor: 1s, window: 2s }`

describe.skipIf(!hasKubectl)(hasKubectl ? 'a policy' : 'a policy (skipped: there is no kubectl here)', () => {
  let mesh: Mesh
  let client: ClientPod
  let admin: string

  beforeAll(async () => {
    mesh = await startMesh()
    const east = mesh.cluster('east')
    client = await findClientPod(east.client, mesh.demo.load)
    const { status } = await east.pod(mesh.demo.load.deployment)
    admin = `http://${status?.podIP}:15000`
    await command(client, 'start')
  })

  afterAll(() => mesh?.stop())

  const kubectl = (context: string, ...args: string[]): Promise<Outcome> =>
    mesh.kubectl(['--context', context, '-n', 'shop', ...args])

  async function apply(spec: string): Promise<Outcome> {
    const file = join(mesh.directory, 'policy.yaml')
    await writeFile(file, policy(spec))
    return kubectl('east', 'apply', '-f', file)
  }

  async function breaker(): Promise<ClusterPage['breaker']> {
    const { clusters } = (await (await fetch(`${admin}/clusters?format=isthmus`)).json()) as {
      clusters: readonly ClusterPage[]
    }
    return clusters.find(({ name }) => name === CHECKOUT)?.breaker
  }

  const accepted = async (): Promise<string> => {
    const path = 'jsonpath={.status.conditions[?(@.type=="Accepted")].reason}'
    return (await kubectl('east', 'get', 'circuitbreakerpolicy', 'checkout', '-o', path)).stdout
  }

  it('that the schema forbids is refused by its field', async () => {
    const { code, stderr } = await apply('{ targetRefs: [], failurePercent: 200 }')
    expect(code).not.toBe(0)
    expect(stderr).toContain('spec.failurePercent')
    expect(stderr).toContain('spec.targetRefs')
  })

  it('reaches the callers and says so', async () => {
    expect(await breaker()).toBeUndefined()
    expect((await apply(SPEC)).code).toBe(0)
    await expect.poll(accepted, POLL).toBe('Accepted')
    await expect.poll(async () => (await breaker())?.state, POLL).toBe('closed')
    const { stdout } = await kubectl('east', 'get', 'cbp')
    expect(stdout).toMatch(/checkout +True +Accepted/)
  })

  it('cuts a failing service off', async () => {
    expect((await kubectl('west', 'scale', 'deployment/inventory', '--replicas=0')).code).toBe(0)
    await expect.poll(async () => (await breaker())?.transitions.open ?? 0, POLL).toBeGreaterThan(0)
    await expect.poll(async () => (await breaker())?.rejected ?? 0, POLL).toBeGreaterThan(50)
    const log = (await kubectl('east', 'logs', client.name, '-c', 'isthmus-proxy', '--tail=200')).stdout
    const lines = log.split('\n').filter((line) => line.includes('"flags":"CB"'))
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.every((line) => line.includes('"upstream":"-"') && line.includes('"status":503'))).toBe(true)
  })

  it('lets callers back when it is well', async () => {
    expect((await kubectl('west', 'scale', 'deployment/inventory', '--replicas=1')).code).toBe(0)
    await expect.poll(async () => (await breaker())?.state, POLL).toBe('closed')
    const found = await breaker()
    expect(found?.transitions.ramping).toBeGreaterThan(0)
  })

  it('says what is wrong with it where only the whole can tell', async () => {
    expect((await apply('{ targetRefs: [{ kind: Service, name: nobody }] }')).code).toBe(0)
    await expect.poll(accepted, POLL).toBe('TargetNotFound')
    await expect.poll(breaker, POLL).toBeUndefined()
  })

  it('is withdrawn with its object', async () => {
    expect((await apply(SPEC)).code).toBe(0)
    await expect.poll(async () => (await breaker())?.state, POLL).toBe('closed')
    expect((await kubectl('east', 'delete', 'cbp', 'checkout')).code).toBe(0)
    await expect.poll(breaker, POLL).toBeUndefined()
  })
})
