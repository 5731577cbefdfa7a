/** A bootstrap file: what is read, and that whatever is not understood is refused by its path. */
import { describe, expect, it } from 'vitest'
import { readBootstrap } from './bootstrap.ts'
import { readDocument } from './document.ts'

const HTTP = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'

const address = (port: number): object => ({ socket_address: { address: '127.0.0.1', port_value: port } })

function file(manager: object = {}, more: object = {}, listener: object = {}): string {
  return JSON.stringify({
    admin: { address: address(9901) },
    static_resources: {
      listeners: [
        {
          name: 'l',
          address: address(8080),
          filter_chains: [
            {
              filters: [
                {
                  name: 'any',
                  typed_config: {
                    '@type': HTTP,
                    stat_prefix: 'p',
                    route_config: {
                      virtual_hosts: [
                        { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }] },
                      ],
                    },
                    http_filters: [{ name: 'envoy.filters.http.router', typed_config: { '@type': ROUTER } }],
                    ...manager,
                  },
                },
              ],
            },
          ],
          ...listener,
        },
      ],
      clusters: [{ name: 'c', load_assignment: { cluster_name: 'c', endpoints: [] } }],
    },
    ...more,
  })
}

const faultsOf = (text: string): readonly string[] => {
  const result = readBootstrap(text)
  return result.ok ? [] : result.faults.map(({ path, message }) => `${path}: ${message}`)
}

const AT = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config'

describe('readBootstrap', () => {
  it('takes static listeners and clusters with Envoy’s defaults', () => {
    const result = readBootstrap(file())
    if (!result.ok) throw new Error(JSON.stringify(result.faults))
    const { admin, config } = result.bootstrap
    expect(admin).toEqual({ address: '127.0.0.1', port: 9901 })
    expect(config.clusters.get('c')).toMatchObject({ connectTimeoutMs: 5_000, lb: 'round-robin' })
    const filter = config.listeners.get('l')?.generic?.chains[0]?.filter
    expect(filter).toMatchObject({ kind: 'http', mode: 'reverse', paths: { normalize: false, escapedSlashes: 'keep' } })
  })

  it.each([
    ['a field that does not exist', file({ nonsense: 1 }), `${AT}.nonsense: `],
    [
      'a field that is not run',
      file({ represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true }),
      `${AT}.represent_ipv4_remote_address_as_ipv4_mapped_ipv6: is not supported`,
    ],
    ['a value of another type', file({ stat_prefix: 7 }), `${AT}.stat_prefix: `],
    ['an unknown extension', file({ '@type': 'type.googleapis.com/a.B' }), `${AT}: extension`],
    ['a value in a list', file({ http_filters: [{ name: 3 }] }), `${AT}.http_filters[0].name: `],
    ['a section of the file', file({}, { flags_path: '/tmp' }), 'flags_path: is not supported'],
    ['a field of the listener', file({}, {}, { freebind: true }), 'static_resources.listeners[0].freebind: '],
  ])('refuses %s by its path', (_name, text, expected) => {
    expect(faultsOf(text).join('\n')).toContain(expected)
  })

  it('names every faulty resource in one reading', () => {
    const { static_resources: resources } = JSON.parse(file()) as { static_resources: Record<string, unknown[]> }
    const faulty = {
      static_resources: {
        ...resources,
        clusters: [
          { name: 'a', type: 'EDS' },
          { name: 'b', track_cluster_stats: {} },
        ],
      },
    }
    expect(faultsOf(JSON.stringify(faulty))).toHaveLength(2)
  })
})

describe('readDocument', () => {
  const bomb = [
    'a: &a [1,1,1,1,1,1,1,1,1,1]',
    ...'bcdefg'.split('').map((name, index) => {
      const before = String.fromCharCode(name.charCodeAt(0) - 1)
      return `${name}: &${name} [${`*${before},`.repeat(9 + (index % 2))}*${before}]`
    }),
  ].join('\n')

  it.each([
    ['an alias bomb', bomb],
    ['keys that are there twice', 'a: 1\na: 2'],
    ['__proto__', 'a: {__proto__: {b: 1}}'],
    ['a deep nest', `a: ${'['.repeat(50_000)}`],
    ['a deep block', Array.from({ length: 400 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
    ['two documents', 'a: 1\n---\nb: 2'],
    ['no mapping', '- a'],
    ['nothing', ''],
    ['an unknown tag', 'a: !x 1'],
  ])('refuses %s', (_name, text) => {
    expect(readDocument(text).ok).toBe(false)
  })
})
