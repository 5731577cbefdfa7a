/** Shedding load before memory ends: the arithmetic, and what clients and counters see of it. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { actionDegree, meshOverload, type OverloadConfig } from '../model/overload.ts'
import type { RouteTable } from '../model/config.ts'
import { routed } from '../../gateways/testing/routed.ts'
import { ask, until, World } from '../../gateways/testing/world.ts'
import { ManualClock } from '../runtime/clock.ts'
import { memoryLimitBytes } from '../runtime/memory.ts'
import { seededRandom } from '../runtime/random.ts'
import { Overload } from './overload.ts'

const GIB = 2 ** 30

describe('actionDegree', () => {
  it('grows between the two thresholds and takes the most pressing trigger', () => {
    const scaled = { resource: 'memory', from: 0.5, to: 0.9 } as const
    const hard = { resource: 'memory', from: 0.8, to: 0.8 } as const
    expect([0.4, 0.5, 0.7, 0.9, 2].map((pressure) => actionDegree([scaled], pressure))).toEqual([
      0,
      0,
      expect.closeTo(0.5, 6),
      1,
      1,
    ])
    expect([0.79, 0.8].map((pressure) => actionDegree([hard], pressure))).toEqual([0, 1])
    expect(actionDegree([scaled, hard], 0.8)).toBe(1)
  })
})

describe('Overload', () => {
  function world(config: OverloadConfig) {
    const clock = new ManualClock()
    const at = { bytes: 0, shrunk: 0 }
    const overload = new Overload(config, {
      clock,
      random: seededRandom(1),
      residentBytes: () => at.bytes,
      shrink: () => at.shrunk++,
    })
    const press = (bytes: number): void => {
      at.bytes = bytes
      clock.advance(config.refreshMs)
    }
    return { at, overload, press }
  }

  it('refuses nothing until it is tight, then more and more, and lets go again', () => {
    const { overload, press } = world(meshOverload(GIB))
    const degrees = (): number[] => [overload.keepAlive, overload.requests, overload.connections]
    press(0.5 * GIB)
    expect(degrees()).toEqual([0, 0, 0])
    press(0.91 * GIB)
    expect(degrees()).toEqual([1, 0, 0])
    press(0.95 * GIB)
    expect(degrees()).toEqual([1, expect.closeTo(0.5, 5), 0])
    press(0.99 * GIB)
    expect(degrees()).toEqual([1, 1, 1])
    press(0.2 * GIB)
    expect(degrees()).toEqual([0, 0, 0])
  })

  it('collects the heap first, and not more than every ten seconds', () => {
    const { at, press } = world(meshOverload(GIB))
    for (let second = 0; second < 21; second++) press(0.86 * GIB)
    expect(at.shrunk).toBe(3)
  })

  it('refuses the share that its degree means', () => {
    const { overload } = world(meshOverload(GIB))
    const hits = Array.from({ length: 10_000 }, () => overload.hits(0.3)).filter(Boolean).length
    expect(hits).toBeGreaterThan(2_800)
    expect(hits).toBeLessThan(3_200)
    expect(overload.hits(0)).toBe(false)
    expect(overload.hits(1)).toBe(true)
  })
})

describe('memoryLimitBytes', () => {
  const reading = (files: Readonly<Record<string, string>>) => memoryLimitBytes((path) => files[path] ?? '')

  it('reads what the kernel was told, in either version of control groups', () => {
    expect(reading({ '/sys/fs/cgroup/memory.max': '268435456\n' })).toBe(268_435_456)
    expect(reading({ '/sys/fs/cgroup/memory.max': 'max\n' })).toBeUndefined()
    expect(reading({ '/sys/fs/cgroup/memory/memory.limit_in_bytes': '1073741824\n' })).toBe(GIB)
    expect(reading({ '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n' })).toBeUndefined()
    expect(reading({})).toBeUndefined()
  })
})

describe('a proxy that is short of memory', () => {
  let world: World
  afterEach(() => world.close())

  const match = { kind: 'prefix', prefix: '/' } as const
  const table: RouteTable = {
    name: 'outbound',
    hosts: [{ name: 'all', domains: ['*'], routes: [{ match, cluster: 'a', timeoutMs: 5_000 }] }],
  }

  it('answers 503 with its code and flag, and sends nothing upstream', async () => {
    world = new World()
    const overload: OverloadConfig = { ...meshOverload(1), refreshMs: 50 }
    const actions = overload.actions.filter(({ action }) => action === 'stop_accepting_requests')
    const { caller, seen } = await routed(world, { table, overload: { ...overload, actions } })
    await expect.poll(async () => (await ask(caller, 'http://a.test/')).status).toBe(503)
    const before = seen.length
    const answer = await ask(caller, 'http://a.test/')
    expect(answer.headers).toMatchObject({ 'isthmus-error': 'PROXY_OVERLOADED', 'isthmus-flags': 'OM' })
    expect(seen.length).toBe(before)
    await until(() => caller.records.at(-1)?.['flags'] === 'OM')
  })

  it('closes connections beyond their number, and takes new ones when others ended', async () => {
    world = new World()
    const { caller } = await routed(world, { table, overload: { refreshMs: 1_000, connectionsMax: 2, actions: [] } })
    const held = [connect(15_003, caller.ip), connect(15_003, caller.ip)]
    await Promise.all(held.map((socket) => once(socket, 'connect')))
    await until(() => caller.proxy.activeConnections === 2)
    const third = connect(15_003, caller.ip)
    third.on('error', () => {})
    await once(third, 'close')
    const name = `listener.${caller.ip}_15003.downstream_global_cx_overflow`
    expect(caller.proxy.state.stats.samples()).toContainEqual({ kind: 'counter', name, value: 1 })
    for (const socket of held) socket.destroy()
    await until(() => caller.proxy.activeConnections === 0)
    expect((await ask(caller, 'http://a.test/')).status).toBe(200)
  })
})
