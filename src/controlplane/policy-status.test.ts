import { describe, expect, it } from 'vitest'
import { KubeError } from '../kube/client.ts'
import { CIRCUIT_BREAKER_POLICIES, type CircuitBreakerPolicy } from '../kube/kinds.ts'
import { MemoryClient } from '../kube/testing/memory-client.ts'
import { ManualClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { PolicyStatus } from './policy-status.ts'
import { snapshotOf } from './testing/snapshot-of.ts'

const MESH = { mesh: 'demo', cluster: 'east', trustDomain: 'east.demo', domain: 'cluster.local' }
const SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'checkout', namespace: 'shop' },
  spec: { ports: [{ name: 'http', port: 80 }] },
}
const POLICY: CircuitBreakerPolicy = {
  apiVersion: 'isthmus.dev/v1alpha1',
  kind: 'CircuitBreakerPolicy',
  metadata: { name: 'p', namespace: 'shop' },
  spec: { targetRefs: [{ kind: 'Service', name: 'checkout' }] },
}

async function world() {
  const client = new MemoryClient()
  const clock = new ManualClock()
  await client.create(CIRCUIT_BREAKER_POLICIES, POLICY)
  const status = new PolicyStatus({ client, clock, log: createLog('test', 'silent') })
  const tell = async (withService: boolean): Promise<void> => {
    const found = await client.get(CIRCUIT_BREAKER_POLICIES, 'p', 'shop')
    const objects = [...(withService ? [SERVICE] : []), ...(found === undefined ? [] : [found])]
    status.set(snapshotOf({ mesh: MESH, objects }))
  }
  const accepted = async () => {
    const found = await client.get(CIRCUIT_BREAKER_POLICIES, 'p', 'shop')
    return found?.status?.conditions?.find(({ type }) => type === 'Accepted')
  }
  const writes = (): number => client.requests.filter(({ verb }) => verb === 'replace').length
  return { client, clock, status, tell, accepted, writes }
}

describe('PolicyStatus', () => {
  it('says whether a policy holds, and again when that changes', async () => {
    const { tell, accepted } = await world()
    await tell(false)
    await expect.poll(accepted).toMatchObject({ status: 'False', reason: 'TargetNotFound' })
    await tell(true)
    await expect.poll(accepted).toMatchObject({ status: 'True', reason: 'Accepted' })
  })

  it('writes nothing that stands there already', async () => {
    const first = await world()
    await first.tell(true)
    await expect.poll(first.accepted).toBeDefined()
    const written = first.writes()
    const replica = new PolicyStatus({ client: first.client, clock: first.clock, log: createLog('test', 'silent') })
    const found = await first.client.get(CIRCUIT_BREAKER_POLICIES, 'p', 'shop')
    replica.set(snapshotOf({ mesh: MESH, objects: [SERVICE, ...(found === undefined ? [] : [found])] }))
    await expect.poll(() => first.client.requests.filter(({ verb }) => verb === 'get').length).toBeGreaterThan(3)
    expect(first.writes()).toBe(written)
  })

  it('tries again after a failed write', async () => {
    const { client, clock, tell, accepted } = await world()
    let refused = 0
    client.hook = ({ verb }) => {
      if (verb !== 'replace' || refused > 0) return undefined
      refused++
      throw new KubeError(0, 'Unreachable', 'away')
    }
    await tell(true)
    await expect.poll(() => refused).toBe(1)
    await expect
      .poll(() => {
        clock.advance(5_000)
        return accepted()
      })
      .toMatchObject({ status: 'True' })
  })
})
