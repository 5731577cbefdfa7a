import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../runtime/random.ts'
import { addressAt, addressPlan, nodeAddress, podAddress, takeNetwork } from './address-plan.ts'

describe('takeNetwork', () => {
  it('never hands out a network that another run holds', async () => {
    const first = await takeNetwork({ random: seededRandom(1) })
    const second = await takeNetwork({ preferred: first.network, random: seededRandom(1) })
    expect(second.network).not.toBe(first.network)
    await first.release()
    const third = await takeNetwork({ preferred: first.network, random: seededRandom(2) })
    expect(third.network).toBe(first.network)
    await Promise.all([second.release(), third.release()])
  })
})

describe('addressPlan', () => {
  it('keeps nodes, pods, services, load balancers and virtual addresses apart', () => {
    const plan = addressPlan(42)
    expect(nodeAddress(plan, 0)).toBe('127.42.1.1')
    expect(podAddress(plan, 1, 7)).toBe('127.42.2.7')
    expect(addressAt(plan.serviceCidr, 300)).toBe('127.42.65.44')
    expect(addressAt(plan.loadBalancerCidr, 254)).toBe('127.42.128.254')
    expect(addressAt(plan.loadBalancerCidr, 255)).toBeUndefined()
  })
})
