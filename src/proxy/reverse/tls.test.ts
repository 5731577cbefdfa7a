/** TLS at generic listeners, with real handshakes: names, offers, and clients that are asked to show who they are. */
import { connect as connectPlain } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serverCertificate } from '../../../test/harness/certificate.ts'
import { type GenericProxy, startGenericProxy } from '../../../test/harness/generic-proxy.ts'
import { testMesh, type TestMesh } from '../../pki/testing/mesh.ts'
import { HiddenText } from '../../model/config.ts'
import { seededRandom } from '../../runtime/random.ts'
import { Judge } from '../workers/judge.ts'

const EXTENSION = 'type.googleapis.com/envoy.extensions'
const server = serverCertificate('shop.example')
const mesh = testMesh({ clusters: ['east'] })
const stranger = clientOf(testMesh({ clusters: ['east'] }))
const own = clientOf(mesh)

/** A certificate for clients; a serving one says that it is for servers only. */
function clientOf(of: TestMesh): { cert: string; key: string } {
  const east = of.cluster('east')
  const { trustDomain } = east
  const { chain: certificates, keyPem } = east.workload({ trustDomain, namespace: 'shop', serviceAccount: 'cart' })
  return { cert: certificates.join(''), key: keyPem }
}

const certificate = {
  certificate_chain: { inline_string: server.cert },
  private_key: { inline_string: server.key },
}

function chain(name: string, tls: object | undefined, match: object = {}): object {
  const routes = [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: name } } }]
  return {
    name,
    filter_chain_match: match,
    ...(tls !== undefined && {
      transport_socket: {
        name: 'tls',
        typed_config: { '@type': `${EXTENSION}.transport_sockets.tls.v3.DownstreamTlsContext`, ...tls },
      },
    }),
    filters: [
      {
        name: 'http',
        typed_config: {
          '@type': `${EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
          stat_prefix: name,
          route_config: { virtual_hosts: [{ name: 'any', domains: ['*'], routes }] },
          http_filters: [
            {
              name: 'envoy.filters.http.router',
              typed_config: { '@type': `${EXTENSION}.filters.http.router.v3.Router` },
            },
          ],
        },
      },
    ],
  }
}

const validation = (more: object = {}): object => ({ trusted_ca: { inline_string: mesh.root.certificatePem }, ...more })
const san = (type: string, exact: string): object => ({ san_type: type, matcher: { exact } })

const BOOTSTRAP = {
  static_resources: {
    listeners: [
      {
        name: 'main',
        address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
        listener_filters: [
          { name: 't', typed_config: { '@type': `${EXTENSION}.filters.listener.tls_inspector.v3.TlsInspector` } },
        ],
        filter_chains: [
          chain(
            'suffix',
            { common_tls_context: { tls_certificates: [certificate], alpn_protocols: ['http/1.1'] } },
            { server_names: ['*.example'] },
          ),
          chain(
            'mutual',
            {
              require_client_certificate: true,
              common_tls_context: { tls_certificates: [certificate], validation_context: validation() },
            },
            { server_names: ['mutual.test'] },
          ),
          chain(
            'optional',
            { common_tls_context: { tls_certificates: [certificate], validation_context: validation() } },
            { server_names: ['optional.test'] },
          ),
          chain(
            'named',
            {
              require_client_certificate: true,
              common_tls_context: {
                tls_certificates: [certificate],
                validation_context: validation({
                  match_typed_subject_alt_names: [san('URI', 'spiffe://east.demo.mesh/ns/shop/sa/other')],
                }),
              },
            },
            { server_names: ['named.test'] },
          ),
          chain(
            'yours',
            {
              require_client_certificate: true,
              common_tls_context: {
                tls_certificates: [certificate],
                validation_context: validation({
                  match_typed_subject_alt_names: [san('URI', 'spiffe://east.demo.mesh/ns/shop/sa/cart')],
                }),
              },
            },
            { server_names: ['yours.test'] },
          ),
          chain('plain', undefined, { transport_protocol: 'raw_buffer' }),
        ],
      },
    ],
  },
}

let running: GenericProxy
let port = 0

beforeAll(async () => {
  running = startGenericProxy(BOOTSTRAP)
  port = await running.port('main')
})

afterAll(() => running.close())

const REQUEST = 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'

/** The answer's last line; the error's code where there is none. */
async function ask(servername: string, options: ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      servername,
      ca: server.ca,
      ...options,
      checkServerIdentity: () => undefined,
    })
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('secureConnect', () => socket.write(REQUEST))
    socket.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message))
    socket.on('close', () => resolve(text === '' ? 'closed' : (text.split('\r\n\r\n')[1] ?? text)))
  })
}

describe('TLS of a generic listener', () => {
  it('chooses the chain by name, upper case or not, and closes where there is none', async () => {
    expect(await ask('shop.example')).toBe('suffix')
    expect(await ask('SHOP.Example')).toBe('suffix')
    expect(await ask('elsewhere')).not.toContain('suffix')
  })

  it('goes on without ALPN where nothing is in common', async () => {
    expect(await ask('shop.example', { ALPNProtocols: ['x-unknown'] })).toBe('suffix')
  })

  it('takes plaintext where a chain wants it', async () => {
    const text = await new Promise<string>((resolve) => {
      const socket = connectPlain(port, '127.0.0.1', () => socket.write(REQUEST))
      let all = ''
      socket.on('data', (chunk) => (all += chunk.toString()))
      socket.on('close', () => resolve(all))
    })
    expect(text).toContain('plain')
  })

  it('admits only clients that the anchors vouch for, where one is required', async () => {
    expect(await ask('mutual.test', own)).toBe('mutual')
    expect(await ask('mutual.test')).not.toBe('mutual')
    expect(await ask('mutual.test', stranger)).not.toBe('mutual')
  })

  it('admits clients without a certificate where it is optional, and none with a wrong one', async () => {
    expect(await ask('optional.test')).toBe('optional')
    expect(await ask('optional.test', own)).toBe('optional')
    expect(await ask('optional.test', stranger)).not.toBe('optional')
  })

  it('refuses a verified client with another name', async () => {
    expect(await ask('named.test', own)).toBe('closed')
    expect(await ask('yours.test', own)).toBe('yours')
  })
})

describe('secrets', () => {
  it('are refused by a proxy of the mesh, whose own never travel', () => {
    const pair = { chain: { text: server.cert }, key: { hidden: new HiddenText(server.key) } }
    const secret = { kind: 'certificate', name: 'default', pair } as const
    const identity = { current: () => undefined, onChange: () => () => {} }
    const modes = new Set(['forward', 'inbound'] as const)
    const judge = new Judge({ identity, modes, trustDomain: 'east.test', now: () => 0 }, seededRandom(1))
    const none = { listeners: new Map(), routes: new Map(), clusters: new Map(), endpoints: new Map() }
    const rejected = judge.apply({ ...none, secrets: new Map([['default', secret]]) })
    expect(rejected).toMatchObject([{ kind: 'secret', resource: 'default', path: 'tls_certificate' }])
  })

  it('that do not fit together refuse the listener by the chain’s path', () => {
    const other = { ...certificate, private_key: { inline_string: own.key } }
    const tls = { common_tls_context: { tls_certificates: [other] } }
    const [listener] = BOOTSTRAP.static_resources.listeners
    const rejected = running.apply({
      static_resources: { listeners: [{ ...listener, filter_chains: [chain('wrong', tls)] }] },
    })
    expect(rejected).toMatchObject([
      { resource: 'main', path: 'filter_chains[0].transport_socket.typed_config.common_tls_context' },
    ])
    expect(JSON.stringify(rejected)).not.toContain('BEGIN')
  })
})
