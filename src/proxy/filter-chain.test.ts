import { afterEach, describe, expect, it } from 'vitest'
import { routed } from '../../gateways/testing/routed.ts'
import { ask, World } from '../../gateways/testing/world.ts'
import type { FaultPolicy, ListedFilter, RoutedFilters, RouteTable, WeightedCluster } from '../model/config.ts'

let world: World
afterEach(() => world.close())

const abort = (status: number): FaultPolicy => ({ abort: { status, share: { numerator: 100, denominator: 100 } } })
const fault = (name: string, status?: number): ListedFilter => ({
  name,
  kind: 'fault',
  config: status === undefined ? {} : abort(status),
})
const closed: ListedFilter = {
  name: 'rbac',
  kind: 'rbac',
  config: { rules: { action: 'allow', policies: {} } },
}
const off = { kind: 'off' } as const

interface Levels {
  readonly table?: RoutedFilters
  readonly host?: RoutedFilters
  readonly route?: RoutedFilters
  readonly cluster?: RoutedFilters
}

function tableOf({ table, host, route, cluster }: Levels = {}): RouteTable {
  const target: WeightedCluster = { name: 'a', weight: 1, ...(cluster !== undefined && { filters: cluster }) }
  return {
    name: 'outbound',
    ...(table !== undefined && { filters: table }),
    hosts: [
      {
        name: 'all',
        domains: ['*'],
        ...(host !== undefined && { filters: host }),
        routes: [
          {
            match: { kind: 'prefix', prefix: '/here' },
            cluster: [target],
            timeoutMs: 5_000,
            ...(route !== undefined && { filters: route }),
          },
        ],
      },
    ],
  }
}

async function statusOf(filters: readonly ListedFilter[], levels: Levels = {}, path = '/here'): Promise<number> {
  world = new World()
  const { caller } = await routed(world, { table: tableOf(levels), http: { filters } })
  return (await ask(caller, `http://shop.test${path}`)).status
}

describe('a chain of filters', () => {
  it.each<[string, readonly ListedFilter[], Levels, number]>([
    ['runs in the order given', [closed, fault('fault', 501)], {}, 403],
    ['runs in the order given, the other way round', [fault('fault', 501), closed], {}, 501],
    ['may be empty', [], {}, 200],
    ['may have a filter twice', [fault('one'), fault('two', 502)], {}, 502],
    ['hears by name', [fault('one', 501), fault('two', 502)], { route: { one: off } }, 502],
    ['ignores names it does not have', [fault('one')], { route: { two: { kind: 'fault', config: abort(501) } } }, 200],
    ['leaves out what is disabled', [{ ...fault('one', 501), disabled: true }], {}, 200],
    [
      'takes back in what a level wants',
      [{ ...fault('one', 501), disabled: true }],
      { host: { one: { kind: 'fault', config: abort(501) } } },
      501,
    ],
    [
      'asks the cluster first',
      [fault('one')],
      { cluster: { one: { kind: 'fault', config: abort(504) } }, route: { one: off } },
      504,
    ],
    [
      'then the route',
      [fault('one')],
      { route: { one: { kind: 'fault', config: abort(503) } }, host: { one: off } },
      503,
    ],
    [
      'then the host',
      [fault('one')],
      { host: { one: { kind: 'fault', config: abort(502) } }, table: { one: off } },
      502,
    ],
    ['then the table', [fault('one')], { table: { one: { kind: 'fault', config: abort(501) } } }, 501],
    [
      'lets a level switch off what the others have',
      [fault('one', 501)],
      { table: { one: { kind: 'fault', config: abort(502) } }, cluster: { one: off } },
      200,
    ],
  ])('%s', async (_what, filters, levels, status) => {
    expect(await statusOf(filters, levels)).toBe(status)
  })

  it('also answers where no route fits, as the router comes last', async () => {
    expect(await statusOf([closed], {}, '/elsewhere')).toBe(403)
    await world.close()
    expect(await statusOf([fault('one')], {}, '/elsewhere')).toBe(404)
  })
})
