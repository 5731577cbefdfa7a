import { describe, expect, it } from 'vitest'
import { decodeResource, encodeResource, type ModelResource } from '../../../xds/codec/codec.ts'
import { textsOf } from './edge-clusters.ts'
import { edgeConfig } from './edge-config.ts'
import { covers, intersect } from '../host-names.ts'
import type { Edge, EdgeServer, EdgeTls } from './edge.ts'
import type { Route, TcpProxy } from '../../../model/config.ts'

const to = (cluster: string): Route => ({ match: { kind: 'prefix', prefix: '/' }, cluster, timeoutMs: 0 })
const bytesTo = (cluster: string): TcpProxy => ({ kind: 'tcp', statPrefix: cluster, cluster })
const tlsOf = (name: string, more: Partial<EdgeTls> = {}): EdgeTls => ({
  certificates: [{ namespace: 'edge', name }],
  client: 'none',
  ...more,
})

const web = (name: string, port: number, hosts: readonly string[], more: Partial<EdgeServer> = {}): EdgeServer => ({
  name,
  port,
  hosts,
  serves: { kind: 'http', hosts: [{ domains: hosts, routes: [to(name)] }] },
  ...more,
})

const edgeOf = (...servers: readonly EdgeServer[]): Edge => ({
  address: '10.0.0.1',
  servers,
  settings: { trustedProxies: 0 },
})

/** What a proxy would read of it. */
function travelled<K extends 'listener' | 'route'>(
  kind: K,
  value: Extract<ModelResource, { kind: K }>['value'],
): unknown {
  const decoded = decodeResource(kind, encodeResource({ kind, value } as ModelResource))
  if ('rejection' in decoded) throw new Error(JSON.stringify(decoded.rejection))
  return decoded.value
}

const domainsOf = (edge: Edge, table: string): Record<string, unknown> => {
  const found = edgeConfig(edge).routes.find(({ name }) => name === table)
  return Object.fromEntries(
    (found?.hosts ?? []).flatMap(({ domains, routes }) =>
      domains.map((domain) => [
        domain,
        routes.map((route) =>
          'cluster' in route ? route.cluster : 'redirect' in route ? route.redirect : route.direct.status,
        ),
      ]),
    ),
  )
}

describe('edgeConfig', () => {
  it('is what proxies read, unchanged', () => {
    const { listeners, routes } = edgeConfig(
      edgeOf(
        web('plain', 8080, ['*']),
        web('shop', 8443, ['shop.example.com'], { tls: tlsOf('shop') }),
        web('any', 8443, ['*'], {
          tls: tlsOf('any', {
            client: 'optional',
            clientRoots: { namespace: 'edge', name: 'any' },
            clientNames: ['spiffe://a/b', 'client.example.com'],
            minVersion: 'TLSv1.3',
          }),
        }),
        { name: 'raw', port: 9000, hosts: ['*'], serves: { kind: 'tcp', to: bytesTo('raw') } },
        {
          name: 'through',
          port: 8443,
          hosts: ['*.bank.example.com'],
          serves: { kind: 'passthrough', routes: [{ hosts: ['a.bank.example.com'], to: bytesTo('bank') }] },
        },
      ),
    )
    expect(listeners.map(({ name }) => name)).toEqual(['edge_8080', 'edge_8443', 'edge_9000'])
    for (const listener of listeners) expect(travelled('listener', listener)).toEqual(listener)
    for (const table of routes) expect(travelled('route', table)).toEqual(table)
  })

  it('names the clusters and secrets that are needed, and no others', () => {
    const config = edgeConfig(
      edgeOf(
        web('plain', 8080, ['*']),
        web('shop', 8443, ['a.com'], {
          tls: tlsOf('shop', { client: 'required', clientRoots: { namespace: 'edge', name: 'shop' } }),
        }),
        web('own', 8444, ['*'], { tls: { certificates: 'mesh', client: 'required' } }),
      ),
    )
    const led = textsOf([config.listeners, config.routes])
    expect(['plain', 'shop', 'own', 'other'].filter((name) => led.has(name))).toEqual(['plain', 'shop', 'own'])
    const secret = { namespace: 'edge', name: 'shop' }
    expect(config.secrets).toEqual([secret, secret])
  })

  it('joins what several plaintext servers say of a name', () => {
    const edge = edgeOf(web('one', 8080, ['a.com', 'b.com']), web('two', 8080, ['b.com', 'c.com']))
    expect(domainsOf(edge, 'http.8080')).toEqual({ 'a.com': ['one'], 'b.com': ['one', 'two'], 'c.com': ['two'] })
  })

  it('sends to HTTPS whatever is said of the hosts besides', () => {
    const serves = { kind: 'http', redirectsToHttps: true, hosts: [{ domains: ['a.com'], routes: [to('x')] }] } as const
    const edge = edgeOf(web('one', 8080, ['a.com', '*.b.com'], { serves }), web('two', 8080, ['c.b.com']))
    const redirect = [{ status: 301, scheme: 'https' }]
    expect(domainsOf(edge, 'http.8080')).toEqual({ 'a.com': redirect, '*.b.com': redirect, 'c.b.com': ['two'] })
  })

  it('answers 421 for names that another certificate is for', () => {
    const wide = web('wide', 8443, ['*.a.com'], {
      tls: tlsOf('wide'),
      serves: { kind: 'http', hosts: [{ domains: ['*.a.com', 'secure.a.com'], routes: [to('wide')] }] },
    })
    const secure = web('secure', 8443, ['secure.a.com'], { tls: tlsOf('secure', { client: 'required' }) })
    expect(domainsOf(edgeOf(wide, secure), 'https.8443.wide')).toEqual({ '*.a.com': ['wide'], 'secure.a.com': [421] })
    expect(domainsOf(edgeOf(wide, secure), 'https.8443.secure')).toEqual({ 'secure.a.com': ['secure'] })
  })

  it.each([
    ['protocol', web('a', 8080, ['*']), web('b', 8080, ['*'], { tls: tlsOf('b') })],
    ['host', web('a', 8080, ['x.com'], { tls: tlsOf('a') }), web('b', 8080, ['x.com'], { tls: tlsOf('b') })],
    [
      'port',
      { name: 'a', port: 8080, hosts: ['*'], serves: { kind: 'tcp', to: bytesTo('a') } } as const,
      { name: 'b', port: 8080, hosts: ['*'], serves: { kind: 'tcp', to: bytesTo('b') } } as const,
    ],
  ])('serves the first of two that cannot both be: %s', (kind, first, second) => {
    const { conflicts, listeners, routes } = edgeConfig(edgeOf(first, second))
    expect(conflicts).toEqual([expect.objectContaining({ kind, server: 'b', with: 'a', port: 8080 })])
    const led = textsOf([listeners, routes])
    expect([led.has('a'), led.has('b')]).toEqual([true, false])
  })

  it('refuses server names that a passthrough server has no route for', () => {
    const { listeners } = edgeConfig(
      edgeOf({
        name: 'through',
        port: 8443,
        hosts: ['*'],
        serves: { kind: 'passthrough', routes: [{ hosts: ['a.com'], to: bytesTo('a') }] },
      }),
    )
    expect(listeners[0]?.generic?.chains.map(({ match, tls }) => [match, tls])).toEqual([
      [{ serverNames: ['a.com'] }, undefined],
    ])
    expect(listeners[0]?.generic?.defaultChain).toBeUndefined()
  })
})

describe('names', () => {
  it.each([
    ['*', 'a.com', true],
    ['*.a.com', 'b.a.com', true],
    ['*.a.com', '*.b.a.com', true],
    ['*.a.com', 'a.com', false],
    ['*.a.com', 'ba.com', false],
    ['b.a.com', '*.a.com', false],
  ])('%s covers %s: %s', (pattern, inner, is) => expect(covers(pattern, inner)).toBe(is))

  it('have the narrower in common', () => {
    expect(intersect('*.a.com', 'b.a.com')).toBe('b.a.com')
    expect(intersect('b.a.com', '*')).toBe('b.a.com')
    expect(intersect('*.a.com', '*.c.com')).toBeUndefined()
  })
})
