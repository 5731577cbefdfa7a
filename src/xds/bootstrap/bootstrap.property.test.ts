/** Whatever a file holds: it is read or refused with a path or a reason, in bounded time, and nothing is thrown. */
import { assert, constantFrom, json, jsonValue, nat, property, string } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readBootstrap } from './bootstrap.ts'

const HTTP = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
const manager = {
  '@type': HTTP,
  stat_prefix: 'p',
  route_config: {
    virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }] }],
  },
  http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
}
const WHOLE = JSON.stringify({
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 9901 } } },
  static_resources: {
    listeners: [
      {
        name: 'l',
        address: { socket_address: { address: '127.0.0.1', port_value: 80 } },
        filter_chains: [{ filters: [{ name: 'h', typed_config: manager }] }],
      },
    ],
    clusters: [{ name: 'c', load_assignment: { cluster_name: 'c' } }],
  },
})

function judge(text: string): void {
  const result = readBootstrap(text)
  if (result.ok) return
  expect(result.faults.length).toBeGreaterThan(0)
  for (const { message } of result.faults) expect(message).not.toBe('')
}

describe('readBootstrap', () => {
  it('takes the file that the others are made of', () => {
    expect(readBootstrap(WHOLE)).toMatchObject({ ok: true })
  })

  it('survives any text', () => {
    assert(property(string({ unit: 'binary', maxLength: 400 }), judge), { numRuns: 500 })
  })

  it('survives any JSON', () => {
    assert(property(json({ maxDepth: 6 }), judge), { numRuns: 300 })
  })

  it('survives a file with a part cut out, doubled or replaced', () => {
    const pieces = [
      '',
      '{}',
      '[]',
      'null',
      '"x"',
      '1e999',
      '-1',
      '&a ',
      '*a',
      '<<: ',
      '? ',
      '!!js/function x',
      '\u0000',
    ]
    assert(
      property(nat(WHOLE.length), nat(40), constantFrom(...pieces), (at, length, piece) => {
        judge(WHOLE.slice(0, at) + piece + WHOLE.slice(at + length))
      }),
      { numRuns: 1_500 },
    )
  })

  it('survives any value at any place of a file', () => {
    const places = paths(JSON.parse(WHOLE))
    assert(
      property(constantFrom(...places), jsonValue({ maxDepth: 3 }), (place, value) => {
        const file: unknown = JSON.parse(WHOLE)
        put(file, place, value)
        judge(JSON.stringify(file))
      }),
      { numRuns: 1_000 },
    )
  })
})

type Place = readonly (string | number)[]

function paths(value: unknown, before: Place = []): Place[] {
  if (typeof value !== 'object' || value === null) return [before]
  const keys: readonly (string | number)[] = Array.isArray(value) ? [...value.keys()] : Object.keys(value)
  const inner = keys.flatMap((key) => paths((value as Record<string | number, unknown>)[key], [...before, key]))
  return before.length === 0 ? inner : [before, ...inner]
}

function put(file: unknown, place: Place, value: unknown): void {
  let at = file as Record<string | number, unknown>
  for (const key of place.slice(0, -1)) at = at[key] as Record<string | number, unknown>
  const last = place.at(-1)
  if (last !== undefined) at[last] = value
}
