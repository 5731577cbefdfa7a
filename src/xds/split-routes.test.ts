import { describe, expect, it } from 'vitest'
import type { ProxyConfig } from '../model/config.ts'
import { RouteJoiner, RouteSplitter } from './split-routes.ts'
import { configOf } from './testing/configs.ts'

const routesOf = (...names: string[]): ProxyConfig['routes'] =>
  configOf(Object.fromEntries(names.map((name) => [name, []]))).routes

describe('RouteSplitter and RouteJoiner', () => {
  it('give back what went in, table by table', () => {
    const outbound = routesOf('a', 'b').get('outbound')
    if (outbound === undefined) throw new Error('no table')
    const routes = new Map([
      ['outbound', outbound],
      ['other', { ...outbound, name: 'other' }],
      ['empty', { name: 'empty', hosts: [] }],
    ])
    const split = new RouteSplitter().split(routes)
    expect([...split.hosts.keys()]).toEqual(['outbound/a', 'outbound/b', 'other/a', 'other/b'])
    expect(split.routes.get('other')).toEqual({ name: 'other', hosts: [], split: { hosts: 2 } })
    expect(new RouteJoiner().join(split.routes, split.hosts)).toEqual(routes)
  })

  it('keep the objects of what did not change', () => {
    const splitter = new RouteSplitter()
    const joiner = new RouteJoiner()
    const before = routesOf('a', 'b')
    const table = before.get('outbound')
    if (table === undefined) throw new Error('no table')
    const one = splitter.split(before)
    expect(splitter.split(before)).toBe(one)
    const joined = joiner.join(one.routes, one.hosts)
    expect(joiner.join(one.routes, new Map(one.hosts))).toBe(joined)
    const [first, second] = table.hosts
    if (first === undefined || second === undefined) throw new Error('no hosts')
    const two = splitter.split(new Map([['outbound', { ...table, hosts: [first, { ...second, domains: ['c'] }] }]]))
    expect(two.hosts.get('outbound/a')).toBe(one.hosts.get('outbound/a'))
    expect(two.hosts.get('outbound/b')).not.toBe(one.hosts.get('outbound/b'))
    const again = joiner.join(one.routes, two.hosts)
    expect(again).not.toBe(joined)
    expect(again.get('outbound')?.hosts[0]).toBe(joined.get('outbound')?.hosts[0])
  })
})
