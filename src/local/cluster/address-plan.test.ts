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

  it('leaves alone the networks whose addresses the machine has', async () => {
    const all = Array.from({ length: 241 }, (_, index) => index + 10)
    const free = 77
    const taken = new Set(all.filter((network) => network !== free))
    const only = await takeNetwork({ preferred: 12, random: seededRandom(1), taken })
    expect(only.network).toBe(free)
    await only.release()
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

  it('has the same shape in addresses of a network namespace, and a DNS port that resolvers ask', () => {
    const plan = addressPlan(42, 'namespaced')
    expect(podAddress(plan, 1, 7)).toBe('10.42.2.7')
    expect(plan).toMatchObject({ host: '10.42.0.1', serviceCidr: '10.42.64.0/18', dnsPort: 53 })
    expect(addressPlan(42)).toMatchObject({ host: '127.42.0.1', dnsPort: 15_053 })
  })
})
