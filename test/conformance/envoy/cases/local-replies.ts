/** Answers of the proxy's own in the words of its operator. */
import { type Case, cluster, get, type Json, reverseProxy, toApp, typed } from '../case.ts'

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3'
const MAPPER = `${HCM}.ResponseMapper`
const FORMAT = 'envoy.config.core.v3.SubstitutionFormatString'

const status = (op: string, value: number): Json => ({
  status_code_filter: { comparison: { op, value: { default_value: value, runtime_key: 'none' } } },
})
const denied: Json = {
  name: 'rbac',
  typed_config: typed('filters.http.rbac.v3.RBAC', {
    rules: {
      action: 'DENY',
      policies: {
        no: {
          permissions: [{ url_path: { path: { prefix: '/denied' } } }],
          principals: [{ any: true }],
        },
      },
    },
  }),
}
const ROUTES: readonly Json[] = [
  { match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'teapot' } } },
  { match: { prefix: '/bare' }, direct_response: { status: 420 } },
  { match: { prefix: '/away' }, redirect: { path_redirect: '/x' } },
  { match: { prefix: '/gone' }, route: { cluster: 'gone' } },
  { match: { prefix: '/empty' }, route: { cluster: 'empty' } },
  { ...toApp, match: { prefix: '/app' } },
]
const replying = (local_reply_config: Json): Case['config'] =>
  reverseProxy({ filters: [denied], routes: ROUTES, manager: { local_reply_config } }, (places) => [
    cluster(places),
    cluster(places, 'gone', 1),
    cluster(places, 'empty', 1, { load_assignment: { cluster_name: 'empty', endpoints: [] } }),
  ])
const PATHS = ['/direct', '/bare', '/away', '/gone', '/empty', '/app', '/denied', '/nowhere']
const visits: Case['steps'] = [
  ...PATHS.map((path) => ({ raw: get(path, 'x-a: one') })),
  { raw: get('/empty', 'content-type: application/grpc') },
  { raw: 'HEAD /empty HTTP/1.1\r\nhost: shop.example\r\n\r\n', head: true },
  { h2: { ':method': 'GET', ':path': '/denied', ':authority': 'shop.example' } },
]

export const CASES: readonly Case[] = [
  {
    name: 'one body for all, in text',
    covers: [`${HCM}.HttpConnectionManager.local_reply_config`, `${HCM}.LocalReplyConfig.body_format`],
    config: replying({
      body_format: {
        text_format_source: { inline_string: '%LOCAL_REPLY_BODY%|%RESPONSE_CODE%|%REQ(:path)%|%RESPONSE_FLAGS%\n' },
      },
    }),
    steps: visits,
  },
  {
    name: 'one body for all, in JSON',
    covers: [`${HCM}.LocalReplyConfig.body_format`],
    config: replying({
      body_format: { json_format: { status: '%RESPONSE_CODE%', message: '%LOCAL_REPLY_BODY%', path: '%REQ(:path)%' } },
    }),
    steps: visits,
  },
  {
    name: 'a type of its own',
    covers: [`${FORMAT}.content_type`],
    config: replying({
      body_format: {
        text_format_source: { inline_string: '<h1>%LOCAL_REPLY_BODY%</h1>' },
        content_type: 'text/html; charset=UTF-8',
      },
    }),
    steps: visits,
  },
  {
    name: 'mappers: the first that fits, its status, body, format and headers',
    covers: [
      `${HCM}.LocalReplyConfig.mappers`,
      ...['filter', 'status_code', 'body', 'body_format_override', 'headers_to_add'].map((name) => `${MAPPER}.${name}`),
    ],
    config: replying({
      mappers: [
        {
          filter: { response_flag_filter: { flags: ['UH'] } },
          status_code: 599,
          body: { inline_string: 'nobody is there' },
          headers_to_add: [{ header: { key: 'x-why', value: 'code %RESPONSE_CODE% %REQ(x-a)%' } }],
        },
        {
          filter: status('EQ', 403),
          body_format_override: { json_format: { denied: '%LOCAL_REPLY_BODY%', at: '%REQ(:path)%' } },
        },
        {
          filter: {
            and_filter: {
              filters: [status('GE', 400), { header_filter: { header: { name: 'x-a', present_match: true } } }],
            },
          },
          headers_to_add: [
            { header: { key: 'x-status', value: '%RESP(:status)%' } },
            { header: { key: 'content-type', value: 'text/x-mapped' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
          ],
        },
        { filter: status('GE', 200), status_code: 200, body: { inline_string: '' } },
      ],
    }),
    steps: visits,
  },
]
