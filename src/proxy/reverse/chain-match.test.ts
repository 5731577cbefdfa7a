/** Envoy's order of criteria: the first that tells chains apart decides, and there is no way back. */
import { describe, expect, it } from 'vitest'
import type { ChainMatch } from '../../model/config.ts'
import { compileChains, type ConnectionFacts, findTwin } from './chain-match.ts'

const FACTS: ConnectionFacts = {
  isBrought: false,
  localAddress: '10.0.0.1',
  localPort: 443,
  remoteAddress: '192.168.1.7',
  remotePort: 5_000,
  transport: 'tls',
  serverName: 'a.shop.example',
  protocols: ['h2', 'http/1.1'],
}

function find(chains: Readonly<Record<string, ChainMatch>>, facts: Partial<ConnectionFacts> = {}): string | undefined {
  const table = compileChains(Object.entries(chains).map(([name, match]): [ChainMatch, string] => [match, name]))
  return table.find({ ...FACTS, ...facts })
}

describe('compileChains', () => {
  it('prefers an exact name, then the longest suffix, then any', () => {
    const chains = {
      exact: { serverNames: ['a.shop.example'] },
      near: { serverNames: ['*.shop.example'] },
      far: { serverNames: ['*.example'] },
      any: {},
    }
    expect(find(chains)).toBe('exact')
    expect(find(chains, { serverName: 'b.shop.example' })).toBe('near')
    expect(find(chains, { serverName: 'x.y.shop.example' })).toBe('near')
    expect(find(chains, { serverName: 'shop.example' })).toBe('far')
    expect(find(chains, { serverName: 'elsewhere' })).toBe('any')
    expect(find(chains, { serverName: '' })).toBe('any')
  })

  it('does not come back to a less specific port when a later criterion fails', () => {
    const chains = { port: { destinationPort: 443, serverNames: ['other.example'] }, any: {} }
    expect(find(chains)).toBeUndefined()
    expect(find(chains, { localPort: 80 })).toBe('any')
  })

  it('takes the narrowest range of addresses', () => {
    const range = (address: string, bits: number): ChainMatch => ({ sources: [{ address, bits }] })
    const chains = { wide: range('192.168.0.0', 16), narrow: range('192.168.1.0', 24), v6: range('fd00::', 8) }
    expect(find(chains)).toBe('narrow')
    expect(find(chains, { remoteAddress: '192.168.2.1' })).toBe('wide')
    expect(find(chains, { remoteAddress: 'fd00::1' })).toBe('v6')
    expect(find(chains, { remoteAddress: '10.0.0.1' })).toBeUndefined()
  })

  it('tells by transport, offered protocol in the client’s order, source type and port', () => {
    expect(find({ tls: { transport: 'tls' }, raw: { transport: 'raw_buffer' } })).toBe('tls')
    const protocols = { one: { applicationProtocols: ['http/1.1'] }, two: { applicationProtocols: ['h2'] } }
    expect(find(protocols)).toBe('two')
    const types: Readonly<Record<string, ChainMatch>> = { in: { sourceType: 'local' }, out: { sourceType: 'external' } }
    expect(find(types)).toBe('out')
    expect(find(types, { remoteAddress: '127.0.0.1' })).toBe('in')
    expect(find({ port: { sourcePorts: [5_000] }, any: {} })).toBe('port')
  })
})

describe('findTwin', () => {
  it('finds a chain that another hides', () => {
    expect(findTwin([{ serverNames: ['a', 'b'] }, { serverNames: ['b'] }])).toBe(1)
    expect(findTwin([{ serverNames: ['a'] }, { serverNames: ['a'], transport: 'tls' }, {}])).toBeUndefined()
  })
})
