import { describe, expect, it } from 'vitest'
import type { DnsDiscovery } from '../../model/config.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { seededRandom } from '../../runtime/random.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { ClusterState } from './cluster.ts'
import type { Resolved } from './dns.ts'
import { assignment, CLUSTER, endpoint, FakeTransport } from './testing/world.ts'

interface Named {
  readonly cluster: ClusterState
  readonly clock: ManualClock
  readonly timers: TimerWheel
  /** What DNS says next; undefined: it fails. */
  answer: Resolved | undefined
  asked: number
  readonly closed: string[]
  readonly addresses: () => string[]
}

function named(dns: DnsDiscovery, first: Resolved | undefined, hosts = ['shop.example']): Named {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const named = { clock, timers, answer: first, asked: 0, closed: [] as string[] }
  const cluster = new ClusterState({ ...CLUSTER, dns }, assignment(hosts.map((host) => endpoint(host))), {
    timers,
    random: seededRandom(1),
    createTransport: ({ endpoint }) => {
      const transport = new FakeTransport()
      const { address } = endpoint()
      transport.close = () => void named.closed.push(address)
      return transport
    },
    resolve: (_host, _wantsTtl, done) => {
      named.asked++
      done(named.answer)
      return () => {}
    },
  })
  const addresses = (): string[] => [...cluster.endpoints.values()].map((state) => state.endpoint.address).sort()
  return Object.assign(named, { cluster, addresses })
}

describe('STRICT_DNS', () => {
  it('makes an endpoint of every address, and follows changes', () => {
    const here = named({ kind: 'strict' }, { addresses: ['10.0.0.1', '10.0.0.2'] })
    expect(here.addresses()).toEqual(['10.0.0.1', '10.0.0.2'])
    here.answer = { addresses: ['10.0.0.2', '10.0.0.3'] }
    here.clock.advance(5_100)
    expect(here.addresses()).toEqual(['10.0.0.2', '10.0.0.3'])
    expect(here.closed).toEqual(['10.0.0.1'])
  })

  it('keeps the last answer when DNS fails, and asks again', () => {
    const here = named({ kind: 'strict', refreshMs: 1_000 }, { addresses: ['10.0.0.1'] })
    here.answer = undefined
    here.clock.advance(3_500)
    expect([here.addresses(), here.asked]).toEqual([['10.0.0.1'], 4])
  })

  it('has no endpoint before the first answer, and finds it later', () => {
    const here = named({ kind: 'strict' }, undefined)
    expect(here.cluster.pick([])).toBeUndefined()
    here.answer = { addresses: ['10.0.0.1'] }
    here.clock.advance(5_100)
    expect(here.cluster.pick([])?.endpoint.address).toBe('10.0.0.1')
  })

  it.each([
    { ttlMs: 20_000, asked: [1, 2] },
    { ttlMs: 0, asked: [19, 21] },
    { ttlMs: 9_000_000, asked: [1, 1] },
  ])('asks again after a TTL of $ttlMs ms, within bounds', ({ ttlMs, asked: [least, most] }) => {
    const here = named({ kind: 'strict', respectTtl: true }, { addresses: ['10.0.0.1'], ttlMs })
    here.clock.advance(20_600)
    expect(here.asked).toBeGreaterThanOrEqual(least ?? 0)
    expect(here.asked).toBeLessThanOrEqual(most ?? 0)
  })

  it.each([
    { family: 'v4' as const, expected: ['10.0.0.1'] },
    { family: 'v6' as const, expected: ['::9'] },
    { family: 'auto' as const, expected: ['::9'] },
    { family: 'v4-preferred' as const, expected: ['10.0.0.1'] },
    { family: 'all' as const, expected: ['10.0.0.1', '::9'] },
  ])('takes addresses of family $family', ({ family, expected }) => {
    expect(named({ kind: 'strict', family }, { addresses: ['10.0.0.1', '::9'] }).addresses()).toEqual(expected)
  })

  it('leaves addresses alone that are no names', () => {
    const here = named({ kind: 'strict' }, { addresses: ['10.0.0.1'] }, ['10.9.9.9', 'shop.example'])
    expect(here.addresses()).toEqual(['10.0.0.1', '10.9.9.9'])
    expect(here.asked).toBe(1)
  })

  it('keeps what it knows when the same configuration comes again, and ends with its cluster', () => {
    const here = named({ kind: 'strict' }, { addresses: ['10.0.0.1'] })
    here.cluster.apply({ ...here.cluster.config }, assignment([endpoint('shop.example')]))
    expect([here.asked, here.addresses()]).toEqual([1, ['10.0.0.1']])
    here.cluster.close()
    expect(here.timers.pending).toBe(0)
  })
})

describe('LOGICAL_DNS', () => {
  it('stays at one address as long as it is in the answer', () => {
    const here = named({ kind: 'logical' }, { addresses: ['10.0.0.1', '10.0.0.2'] })
    expect(here.addresses()).toEqual(['10.0.0.1'])
    here.answer = { addresses: ['10.0.0.3', '10.0.0.1'] }
    here.clock.advance(5_100)
    expect([here.addresses(), here.closed]).toEqual([['10.0.0.1'], []])
    here.answer = { addresses: ['10.0.0.3'] }
    here.clock.advance(5_100)
    expect(here.addresses()).toEqual(['10.0.0.3'])
  })
})
