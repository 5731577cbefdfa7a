/** WebSocket and other upgrades, extended CONNECT, and CONNECT that ends at a cluster. */
import { type Case, cluster, get, http, listener, ORIGIN_PORT, bootstrap, reverseProxy, toApp } from '../case.ts'
import type { Arrival, Answer } from '../origin.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const ROUTE = 'envoy.config.route.v3'

const upgrade = (path: string, protocol = 'websocket'): string =>
  get(path, 'connection: Upgrade', `upgrade: ${protocol}`, 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==')

/** Accepts, says something and closes; `/deny` is refused, `/ignore` answered as if nothing had been asked. */
function answer({ line, headers }: Arrival): Answer {
  if (line.includes('/deny')) return { status: 403, body: 'no' }
  if (line.includes('/ignore')) return { status: 404, body: 'none' }
  const protocol = headers.find(([name]) => name.toLowerCase() === 'upgrade')?.[1] ?? ''
  return {
    bytes: `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${protocol}\r\nx-origin: 1\r\n\r\nhello from the other protocol`,
    close: true,
  }
}

const origins = { app: { port: ORIGIN_PORT, answer } }
const websocket = { upgrade_configs: [{ upgrade_type: 'websocket' }] }

export const CASES: readonly Case[] = [
  {
    name: 'an upgrade that the listener allows',
    covers: [`${HCM}.upgrade_configs`, `${HCM}.UpgradeConfig.upgrade_type`],
    origins,
    config: reverseProxy({ manager: websocket }),
    steps: [{ raw: upgrade('/chat'), answers: 'close' }],
  },
  {
    name: 'upgrades that nobody allowed',
    covers: [`${HCM}.UpgradeConfig.enabled`],
    origins,
    config: reverseProxy({
      manager: { upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'foo', enabled: false }] },
    }),
    steps: [
      { raw: upgrade('/chat', 'foo'), answers: 'close' },
      { raw: upgrade('/chat', 'bar'), answers: 'close' },
      { raw: get('/ignore', 'upgrade: websocket') },
      { raw: get('/ignore', 'connection: upgrade', 'upgrade: h2c', 'http2-settings: AAMAAABkAAQAoAAAAAIAAAAA') },
    ],
  },
  {
    name: 'a route allows one upgrade and forbids another',
    covers: [
      `${ROUTE}.RouteAction.upgrade_configs`,
      `${ROUTE}.RouteAction.UpgradeConfig.upgrade_type`,
      `${ROUTE}.RouteAction.UpgradeConfig.enabled`,
    ],
    origins,
    config: reverseProxy({
      manager: websocket,
      routes: [
        {
          match: { prefix: '/foo' },
          route: {
            cluster: 'app',
            upgrade_configs: [{ upgrade_type: 'foo' }, { upgrade_type: 'websocket', enabled: false }],
          },
        },
        toApp,
      ],
    }),
    steps: [
      { raw: upgrade('/foo', 'foo'), answers: 'close' },
      { raw: upgrade('/foo'), answers: 'close' },
      { raw: upgrade('/other', 'foo'), answers: 'close' },
      { raw: upgrade('/other'), answers: 'close' },
    ],
  },
  {
    name: 'an origin that refuses the upgrade',
    covers: [],
    origins,
    config: reverseProxy({ manager: websocket }),
    steps: [{ raw: `${upgrade('/deny')}${get('/never')}`, answers: 'close' }],
  },
  {
    name: 'CONNECT ends where a route says so',
    covers: [`${ROUTE}.RouteMatch.connect_matcher`, `${ROUTE}.RouteAction.UpgradeConfig.connect_config`],
    origins: {
      app: { port: ORIGIN_PORT },
      raw: { port: 8081, protocol: 'tcp', answer: () => ({ bytes: '220 ready\r\n', close: true }) },
    },
    config: (places) =>
      bootstrap(
        [
          listener(places, [
            {
              filters: [
                http({
                  manager: { upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
                  hosts: [
                    {
                      name: 'tunnels',
                      domains: ['db.example:5432'],
                      routes: [
                        {
                          match: { connect_matcher: {} },
                          route: {
                            cluster: 'raw',
                            upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }],
                          },
                        },
                      ],
                    },
                    { name: 'any', domains: ['*'], routes: [toApp] },
                  ],
                }),
              ],
            },
          ]),
        ],
        [cluster(places), cluster(places, 'raw', 8081)],
      ),
    steps: [
      { raw: 'CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n\r\nstart', answers: 'close' },
      { raw: 'CONNECT other.example:5432 HTTP/1.1\r\nhost: other.example:5432\r\n\r\n', answers: 'close' },
      { raw: get('/') },
    ],
  },
  {
    name: 'CONNECT over HTTP/2',
    covers: ['envoy.config.core.v3.Http2ProtocolOptions.allow_connect'],
    origins: {
      app: { port: ORIGIN_PORT, protocol: 'tcp', answer: () => ({ bytes: '220 ready\r\n', close: true }) },
    },
    config: reverseProxy({
      manager: { upgrade_configs: [{ upgrade_type: 'CONNECT' }], http2_protocol_options: { allow_connect: true } },
      routes: [
        {
          match: { connect_matcher: {} },
          route: { cluster: 'app', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
        },
      ],
    }),
    steps: [{ h2: { ':method': 'CONNECT', ':authority': 'db.example:5432' }, body: 'start' }],
  },
  {
    name: 'CONNECT at a listener that knows nothing of it',
    covers: [],
    config: reverseProxy(),
    steps: [{ raw: 'CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443\r\n\r\n', answers: 'close' }],
  },
]
