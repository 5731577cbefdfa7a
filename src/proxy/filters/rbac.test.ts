import { afterEach, describe, expect, it } from 'vitest'
import type { FilterChain, Permission, Principal, RbacRules, RouteTable } from '../../model/config.ts'
import { type Filters, listing, saying } from '../../../gateways/testing/filters.ts'
import { routed } from '../../../gateways/testing/routed.ts'
import { ask, listening, mtlsEndpoint, until, World } from '../../../gateways/testing/world.ts'

let world: World
afterEach(() => world.close())

const ANY = { kind: 'any' } as const
const rules = (action: RbacRules['action'], permission: Permission, principal: Principal = ANY): Filters => ({
  rbac: { rules: { action, policies: { p: { permissions: [permission], principals: [principal] } } } },
})
const tableOf = (filters: Filters, host: Filters = {}): RouteTable => ({
  name: 'outbound',
  hosts: [
    {
      name: 'all',
      domains: ['*'],
      filters: saying(host),
      routes: [{ match: { kind: 'prefix', prefix: '/' }, cluster: 'a', timeoutMs: 5_000, filters: saying(filters) }],
    },
  ],
})
const method = (value: string): Permission => ({
  kind: 'header',
  header: { name: ':method', is: { kind: 'exact', value } },
})
const path = (value: string): Permission => ({ kind: 'path', path: { kind: 'prefix', value } })

/** What comes back for `METHOD /path`. */
async function statusOf(filters: Filters, request: string): Promise<number> {
  world = new World()
  const { caller, seen } = await routed(world, { table: tableOf(filters) })
  const [verb = 'GET', url = '/'] = request.split(' ')
  const { status } = await ask(caller, `http://shop.test${url}`, { method: verb })
  expect(seen.length).toBe(status === 200 ? 1 : 0)
  return status
}

describe('RBAC', () => {
  it.each<[Filters, string, number]>([
    [rules('allow', path('/public')), 'GET /public/x', 200],
    [rules('allow', path('/public')), 'GET /admin', 403],
    [rules('deny', path('/admin')), 'GET /admin', 403],
    [rules('deny', path('/admin')), 'GET /public', 200],
    [rules('deny', path('/admin')), 'GET /public/../%61dmin', 403],
    [rules('deny', path('/admin')), 'GET /.//../admin', 403],
    [rules('deny', path('/admin')), 'GET /x\\..\\admin', 403],
    [rules('allow', { kind: 'and', of: [method('GET'), path('/a')] }), 'GET /a', 200],
    [rules('allow', { kind: 'and', of: [method('GET'), path('/a')] }), 'POST /a', 403],
    [rules('allow', { kind: 'or', of: [method('PUT'), path('/a')] }), 'PUT /b', 200],
    [rules('allow', { kind: 'or', of: [method('PUT'), path('/a')] }), 'GET /b', 403],
    [rules('allow', { kind: 'not', of: path('/a') }), 'GET /a', 403],
    [rules('allow', { kind: 'not', of: path('/a') }), 'GET /b', 200],
    [rules('allow', ANY, { kind: 'source-ip', address: '127.0.0.0', prefixLength: 8 }), 'GET /', 200],
    [rules('allow', ANY, { kind: 'source-ip', address: '10.0.0.0', prefixLength: 8 }), 'GET /', 403],
    [rules('allow', ANY, { kind: 'source-ip', address: 'fd00::', prefixLength: 8 }), 'GET /', 403],
    // Where it arrived: the sidecar's own port for applications.
    [rules('allow', { kind: 'destination-port', from: 15_003, to: 15_004 }), 'GET /', 200],
    [rules('allow', { kind: 'destination-port', from: 1, to: 15_003 }), 'GET /', 403],
    [rules('deny', { kind: 'destination-ip', address: '127.0.0.0', prefixLength: 8 }), 'GET /', 403],
    [rules('deny', { kind: 'destination-ip', address: '10.0.0.0', prefixLength: 8 }), 'GET /', 200],
    [rules('deny', { kind: 'server-name', name: { kind: 'exact', value: '' } }), 'GET /', 403],
    [
      { rbac: { shadow: { action: 'deny', policies: { p: { permissions: [ANY], principals: [ANY] } } } } },
      'GET /',
      200,
    ],
    [rules('allow', ANY, { kind: 'peer' }), 'GET /', 403],
    [rules('allow', ANY, { kind: 'not', of: { kind: 'peer' } }), 'GET /', 200],
    [{ rbac: { rules: { action: 'allow', policies: {} } } }, 'GET /', 403],
    [{ rbac: { rules: { action: 'deny', policies: {} } } }, 'GET /', 200],
    [{ rbac: {} }, 'GET /', 200],
    [rules('log', path('/')), 'GET /', 200],
  ])('%j: %s is %i', async (filters, request, status) => {
    expect(await statusOf(filters, request)).toBe(status)
  })

  it('says in the log what it refused and what it was asked to log', async () => {
    world = new World()
    const { caller, apply } = await routed(world, { table: tableOf(rules('deny', path('/admin'))) })
    const refused = await ask(caller, 'http://shop.test/admin')
    expect(refused.headers['isthmus-error']).toBe('POLICY_DENIED')
    apply(tableOf(rules('log', path('/'))))
    await ask(caller, 'http://shop.test/x')
    await until(() => caller.records.length === 2)
    expect(caller.records[0]).toMatchObject({ flags: 'RBAC', status: 403 })
    expect(caller.records[1]).toMatchObject({ flags: '-', detail: 'policy p asks to log this request' })
  })

  it('of a route replaces the one around it, and an empty one switches it off', async () => {
    world = new World()
    const closed = { rbac: { rules: { action: 'allow' as const, policies: {} } } }
    const { caller, apply } = await routed(world, { table: tableOf({}), http: { filters: listing(closed) } })
    const status = async (): Promise<number> => (await ask(caller, 'http://shop.test/a')).status
    expect(await status()).toBe(403)
    apply(tableOf(rules('allow', path('/a')), closed))
    expect(await status()).toBe(200)
    apply(tableOf({ rbac: {} }, closed))
    expect(await status()).toBe(200)
  })

  it('knows a peer by its certificate, never by what it sends', async () => {
    world = new World()
    const pod = world.pod('east', 'checkout')
    await world.app(pod.ip, (_request, response) => response.end('ok'))
    const config = world.sidecarConfig(pod, { inbound: [{ name: 'checkout' }] })
    const inbound = config.listeners.get('inbound-mesh')
    const apply = (principal: Principal): void => {
      const chains: FilterChain[] = []
      for (const { filter, ...chain } of inbound?.chains ?? []) {
        if (filter.kind === 'http')
          chains.push({ ...chain, filter: { ...filter, filters: listing(rules('allow', ANY, principal)) } })
      }
      if (inbound === undefined) throw new Error('no listener')
      pod.proxy.apply({ ...config, listeners: new Map([['inbound-mesh', { ...inbound, chains }]]) })
    }
    const caller = world.pod('east', 'storefront')
    const service = { name: 'checkout', endpoints: [[mtlsEndpoint(pod)]], identities: [pod.uri] }
    caller.proxy.apply(world.sidecarConfig(caller, { services: [service] }))
    const status = async (): Promise<number> => {
      const headers = { 'x-forwarded-client-cert': `URI=${pod.uri}` }
      return (await ask(caller, 'http://checkout.shop.svc.cluster.local/', { headers })).status
    }
    apply({ kind: 'peer', name: { kind: 'exact', value: caller.uri } })
    await listening(pod)
    await listening(caller)
    expect(await status()).toBe(200)
    apply({ kind: 'peer', name: { kind: 'exact', value: pod.uri } })
    expect(await status()).toBe(403)
    apply({
      kind: 'and',
      of: [{ kind: 'peer' }, { kind: 'not', of: { kind: 'peer', name: { kind: 'suffix', value: '/sa/other' } } }],
    })
    expect(await status()).toBe(200)
  })
})
