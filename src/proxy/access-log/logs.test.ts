import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { seededRandom } from '../../runtime/random.ts'
import { readBootstrap } from '../../xds/bootstrap/bootstrap.ts'
import { type Proxy, startProxy } from '../proxy.ts'

const TYPE = 'type.googleapis.com/envoy.extensions'
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const log = (path: string, format: object, filter?: object): object => ({
  name: path,
  ...(filter !== undefined && { filter }),
  typed_config: { '@type': `${TYPE}.access_loggers.file.v3.FileAccessLog`, path, log_format: format },
})
const text = (inline_string: string): object => ({ text_format_source: { inline_string } })

interface Running {
  readonly proxy: Proxy
  readonly port: number
  /** What went to a path so far. */
  readonly lines: (path: string) => readonly string[]
}

/** A generic listener in front of one application, with these access logs. */
async function running(
  access_log: readonly object[],
  listenerLogs: readonly object[] = [],
  tcpLogs?: readonly object[],
): Promise<Running> {
  const app: Server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.setHeader('x-up', 'v1').end('hello'))
  })
  app.listen(0, '127.0.0.1')
  await once(app, 'listening')
  const route = (prefix: string, action: object): object => ({ name: prefix.slice(1), match: { prefix }, ...action })
  const cluster = (name: string, port: number): object => ({
    name,
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }],
        },
      ],
    },
  })
  const manager = {
    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'hcm',
    access_log,
    route_config: {
      name: 'rt',
      virtual_hosts: [
        {
          name: 'v',
          domains: ['*'],
          routes: [
            route('/direct', { direct_response: { status: 418, body: { inline_string: 'teapot' } } }),
            route('/dead', { route: { cluster: 'dead' } }),
            route('/up', { route: { cluster: 'up', prefix_rewrite: '/rewritten' } }),
          ],
        },
      ],
    },
    http_filters: [
      { name: 'envoy.filters.http.router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } },
    ],
  }
  const pipe = {
    '@type': `${TYPE}.filters.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: 'pipe',
    cluster: 'up',
    access_log: tcpLogs,
  }
  const file = {
    static_resources: {
      listeners: [
        {
          name: 'l1',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          access_log: listenerLogs,
          filter_chains: [
            { name: 'ch1', filters: [{ name: 'only', typed_config: tcpLogs === undefined ? manager : pipe }] },
          ],
        },
      ],
      clusters: [cluster('up', (app.address() as AddressInfo).port), cluster('dead', 1)],
    },
  }
  const read = readBootstrap(JSON.stringify(file))
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  const written = new Map<string, string>()
  const proxy = startProxy({
    podIp: '',
    own: { cluster: '', namespace: '', workload: '', version: '', region: '', zone: '' },
    trustDomain: '',
    identity: { current: () => undefined, onChange: () => () => {} },
    modes: ['reverse'],
    clock: systemClock,
    random: seededRandom(1),
    log: createLog('test', 'silent'),
    accessLog: () => {},
    lookup: undefined,
    hostname: 'vm',
    openLog: (sink) => {
      const key = sink.kind === 'file' ? sink.path : sink.kind
      return {
        write: (lines) => void written.set(key, (written.get(key) ?? '') + lines),
        reopen: () => {},
        close: () => {},
      }
    },
  })
  closers.push(
    () => proxy.close(),
    () => app.close(),
  )
  expect(proxy.apply(read.bootstrap.config).rejected).toEqual([])
  while (proxy.listeners.awaited.length > 0) await new Promise((resolve) => setImmediate(resolve))
  return {
    proxy,
    port: proxy.listeners.portOf('l1') ?? 0,
    lines: (path) => (written.get(path) ?? '').split('\n').slice(0, -1),
  }
}

/** One request by its bytes; resolves at the end of the connection, which the request asks for. */
async function send(port: number, head: string, body = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk.toString()))
  socket.write(`${head}\r\nhost: shop.example\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  await once(socket, 'close')
  return answer
}

const FACTS =
  '%REQ(X-A?X-B):3%|%RESP(X-UP)%|%PROTOCOL%|%RESPONSE_CODE%|%RESPONSE_CODE_DETAILS%|%RESPONSE_FLAGS%|%RESPONSE_FLAGS_LONG%|' +
  '%BYTES_RECEIVED%|%BYTES_SENT%|%UPSTREAM_CLUSTER%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%|%ROUTE_NAME%|%FILTER_CHAIN_NAME%|' +
  '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%|%REQ(:PATH)%|%HOSTNAME%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\n'

describe('access logs from Envoy’s configuration', () => {
  it('say what Envoy says of the same requests', async () => {
    const { proxy, port, lines } = await running([log('/t', text(FACTS))])
    await send(port, 'POST /up/x?q=1 HTTP/1.1\r\nx-b: hello', 'abc')
    await send(port, 'GET /direct HTTP/1.1')
    await send(port, 'GET /dead HTTP/1.1')
    await send(port, 'GET /nope HTTP/1.1')
    proxy.logs.close()
    const [up, direct, dead = '', none] = lines('/t')
    expect(up).toBe('hel|v1|HTTP/1.1|200|via_upstream|-|-|3|5|up|1|up|ch1|/up/x?q=1|/rewritten/x?q=1|vm|127.0.0.1')
    expect(direct).toBe('-|-|HTTP/1.1|418|direct_response|-|-|0|6|-|0|direct|ch1|/direct|/direct|vm|127.0.0.1')
    expect(dead).toMatch(
      /^-\|-\|HTTP\/1\.1\|503\|upstream_reset_before_response_started\{remote_connection_failure\|[^ ]+\}\|UF\|UpstreamConnectionFailure\|0\|\d+\|dead\|1\|dead\|/,
    )
    expect(none).toBe('-|-|HTTP/1.1|404|route_not_found|NR|NoRouteFound|0|0|-|0|-|ch1|/nope|/nope|vm|127.0.0.1')
  })

  it('have Envoy’s line where the format is left open, and go to the process’s own streams', async () => {
    const stdout = { name: 'o', typed_config: { '@type': `${TYPE}.access_loggers.stream.v3.StdoutAccessLog` } }
    const { proxy, port, lines } = await running([stdout])
    await send(port, 'GET /up HTTP/1.1\r\nuser-agent: test')
    proxy.logs.close()
    expect(lines('stdout')[0]).toMatch(
      /^\[\d{4}-\d\d-\d\dT[0-9:.]+Z\] "GET \/up HTTP\/1\.1" 200 - 0 5 \d+ \d+ "[^"]*" "test" "[0-9a-f-]{36}" "shop\.example" "127\.0\.0\.1:\d+"$/,
    )
  })

  it('keep JSON typed, and lines whole whatever a client sends', async () => {
    const json = { json_format: { code: '%RESPONSE_CODE%', agent: '%REQ(USER-AGENT)%', none: '%REQ(x)%' } }
    const { proxy, port, lines } = await running([log('/j', json)])
    await send(port, 'GET /direct HTTP/1.1\r\nuser-agent: "quoted"\\ and\ttab')
    proxy.logs.close()
    expect(lines('/j').map((line) => JSON.parse(line) as unknown)).toEqual([
      { agent: '"quoted"\\ and\ttab', code: 418, none: null },
    ])
  })

  it('leave out what a filter does not want', async () => {
    const comparison = (op: string, value: number): object => ({
      comparison: { op, value: { default_value: value, runtime_key: 'k' } },
    })
    const all = { numerator: 100, denominator: 'HUNDRED' }
    const none = { numerator: 0, denominator: 'HUNDRED' }
    const share = (percent_sampled: object): object => ({ runtime_filter: { runtime_key: 'k', percent_sampled } })
    const filters: Readonly<Record<string, object>> = {
      '/ge500': { status_code_filter: comparison('GE', 500) },
      '/eq418': { status_code_filter: comparison('EQ', 418) },
      '/slow': { duration_filter: comparison('GE', 60_000) },
      '/all': share(all),
      '/nothing': share(none),
      '/header': { header_filter: { header: { name: 'x-log', string_match: { exact: 'yes' } } } },
      '/flags': { response_flag_filter: { flags: ['UF', 'NR'] } },
      '/health': { not_health_check_filter: {} },
      '/both': {
        and_filter: { filters: [{ response_flag_filter: {} }, { status_code_filter: comparison('LE', 404) }] },
      },
      '/either': {
        or_filter: { filters: [{ status_code_filter: comparison('EQ', 418) }, { response_flag_filter: {} }] },
      },
    }
    const logs = Object.entries(filters).map(([path, filter]) => log(path, text('%RESPONSE_CODE%\n'), filter))
    const { proxy, port, lines } = await running(logs)
    await send(port, 'GET /up HTTP/1.1\r\nx-log: yes')
    await send(port, 'GET /direct HTTP/1.1')
    await send(port, 'GET /dead HTTP/1.1')
    await send(port, 'GET /nope HTTP/1.1')
    proxy.logs.close()
    expect(Object.fromEntries(Object.keys(filters).map((path) => [path, lines(path).join(' ')]))).toEqual({
      '/ge500': '503',
      '/eq418': '418',
      '/slow': '',
      '/all': '200 418 503 404',
      '/nothing': '',
      '/header': '200',
      '/flags': '503 404',
      '/health': '200 418 503 404',
      '/both': '404',
      '/either': '418 503 404',
    })
  })

  it('say of a TCP proxy’s connections where they went and how much', async () => {
    const format = text('%UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %BYTES_RECEIVED% %PROTOCOL% %REQ(:METHOD)%\n')
    const { proxy, port, lines } = await running([], [], [log('/tcp', format)])
    const answer = await send(port, 'GET /any HTTP/1.1')
    await vi.waitFor(() => expect(lines('/tcp')).toHaveLength(1))
    expect(lines('/tcp')[0]).toMatch(/^up - [1-9]\d* - -$/)
    const sample = proxy.state.stats.samples().find(({ name }) => name === 'tcp.pipe.downstream_cx_tx_bytes_total')
    expect(sample).toMatchObject({ value: answer.length })
  })

  it('say of a listener’s connections when they end', async () => {
    const format = text('%DOWNSTREAM_LOCAL_PORT% %BYTES_SENT% %PROTOCOL% %DURATION%\n')
    const { port, lines } = await running([], [log('/l', format)])
    await send(port, 'GET /direct HTTP/1.1')
    await vi.waitFor(() => expect(lines('/l')).toHaveLength(1))
    expect(lines('/l').join()).toMatch(new RegExp(`^${port} [1-9]\\d* - \\d+$`))
  })
})
