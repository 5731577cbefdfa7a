import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../model/config.ts'
import { ManualClock } from '../../runtime/clock.ts'
import { isForbiddenTarget } from '../../runtime/forbidden.ts'
import { TimerWheel } from '../timer-wheel.ts'
import { EndpointState } from './endpoint.ts'
import { OriginalEndpoints, parseOriginalAddress } from './original-dst.ts'
import { FakeTransport } from './testing/world.ts'

function endpoints(config = {}): { originals: OriginalEndpoints; made: string[]; clock: ManualClock } {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const made: string[] = []
  const create = (endpoint: Endpoint): EndpointState => {
    made.push(`${endpoint.address}:${endpoint.port}`)
    return new EndpointState({ key: 'x', endpoint, transport: new FakeTransport(), timers })
  }
  return { originals: new OriginalEndpoints(config, { timers, create, isForbidden: isForbiddenTarget }), made, clock }
}

describe('OriginalEndpoints', () => {
  it('has one endpoint per address for as long as someone asks for it', () => {
    const { originals, made, clock } = endpoints()
    const first = originals.pick({ address: '192.0.2.1', port: 80 })
    expect(originals.pick({ address: '192.0.2.1', port: 80 })).toBe(first)
    const other = originals.pick({ address: '192.0.2.1', port: 81 })
    if (other !== undefined) other.active++
    clock.advance(10_000)
    expect(originals.pick({ address: '192.0.2.2', port: 80 })).toBeDefined()
    // What is in use stays, what nobody asked for is gone.
    expect(originals.states()).toHaveLength(2)
    expect(made).toEqual(['192.0.2.1:80', '192.0.2.1:81', '192.0.2.2:80'])
  })

  it('goes to no address that may not be asked, and to none without a port', () => {
    const { originals, made } = endpoints()
    const refused = [
      '169.254.169.254',
      '::ffff:169.254.169.254',
      'fe80::1',
      'fd00:ec2::254',
      'shop.example',
      '2130706433',
    ]
    for (const address of refused) {
      expect(originals.pick({ address, port: 80 })).toBeUndefined()
    }
    expect(originals.pick({ address: '192.0.2.1', port: 0 })).toBeUndefined()
    expect(originals.pick(undefined)).toBeUndefined()
    expect(made).toEqual([])
  })

  it('takes the port of its cluster where that has one', () => {
    const { originals, made } = endpoints({ portOverride: 8_080 })
    originals.pick({ address: '192.0.2.1', port: 80 })
    expect(made).toEqual(['192.0.2.1:8080'])
  })
})

describe('parseOriginalAddress', () => {
  it.each([
    ['192.0.2.1:80', { address: '192.0.2.1', port: 80 }],
    ['[2001:db8::1]:443', { address: '2001:db8::1', port: 443 }],
    ['192.0.2.1', undefined],
    ['shop.example:80', undefined],
    ['192.0.2.1:80,192.0.2.2:80', undefined],
    ['2001:db8::1:80', undefined],
  ])('%s', (text, address) => {
    expect(parseOriginalAddress(text)).toEqual(address)
  })
})
