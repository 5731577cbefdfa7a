import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { FilterConfigSchema, RouteSchema } from '#gen/envoy/config/route/v3/route_components_pb.js'

import { RuntimeFractionalPercentSchema } from '#gen/envoy/config/core/v3/base_pb.js'
import { LocalRateLimitSchema } from '#gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js'
import { RBACPerRouteSchema } from '#gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js'
import { saying } from '../../../gateways/testing/filters.ts'
import { RETRY_CONDITIONS, type RouteTable } from '../../model/config.ts'
import { decodeResource, encodeResource, resourceFromBytes, resourceToBytes } from './codec.ts'

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
const path = word.map((text) => `/${text}`)
const yes = fc.constant(true as const)
const string = fc.oneof(
  fc.record(
    {
      kind: fc.constantFrom('exact' as const, 'prefix' as const, 'suffix' as const, 'contains' as const),
      value: word,
      ignoreCase: yes,
    },
    { requiredKeys: ['kind', 'value'] },
  ),
  fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('[a-z]+', 'v[0-9]{1,3}|x') }),
)
const presence = fc.record({ kind: fc.constant('present' as const), present: fc.boolean() })
const range = fc
  .tuple(fc.integer(), fc.nat(1000))
  .map(([from, size]) => ({ kind: 'range' as const, from, to: from + size + 1 }))
const header = fc.oneof(
  fc.record(
    { name: fc.oneof(word, fc.constant(':method')), is: fc.oneof(string, range), invert: yes, missingIsEmpty: yes },
    { requiredKeys: ['name', 'is'] },
  ),
  fc.record({ name: word, is: presence, invert: yes }, { requiredKeys: ['name', 'is'] }),
)
const query = fc.record({ name: word, is: fc.oneof(string, presence) })
const conditions = {
  headers: fc.array(header, { minLength: 1, maxLength: 3 }),
  query: fc.array(query, { minLength: 1, maxLength: 2 }),
}
const match = fc.oneof(
  fc.record(
    {
      kind: fc.constantFrom('prefix' as const, 'separated-prefix' as const),
      prefix: path,
      ignoreCase: yes,
      ...conditions,
    },
    { requiredKeys: ['kind', 'prefix'] },
  ),
  fc.record(
    { kind: fc.constant('path' as const), path, ignoreCase: yes, ...conditions },
    { requiredKeys: ['kind', 'path'] },
  ),
  fc.record(
    { kind: fc.constant('regex' as const), regex: fc.constant('/v[0-9]+'), ...conditions },
    { requiredKeys: ['kind', 'regex'] },
  ),
)
const change = fc.record(
  {
    name: word.map((text) => `x-${text}`),
    value: fc.constantFrom('', 'v', '100%%', '%REQ(x-a)%/%PROTOCOL%'),
    action: fc.constantFrom(
      'append' as const,
      'add-if-absent' as const,
      'overwrite' as const,
      'overwrite-if-exists' as const,
    ),
    keepEmpty: yes,
  },
  { requiredKeys: ['name', 'value', 'action'] },
)
const changes = fc.array(change, { minLength: 1, maxLength: 2 })
const names = fc.array(
  word.map((text) => `x-${text}`),
  { minLength: 1, maxLength: 2 },
)
const headers = fc.oneof(
  fc.record({ addRequest: changes, removeResponse: names }),
  fc.record({ removeRequest: names, addResponse: changes }),
)
const substitute = { regex: fc.constant('/(a)(b)'), substitution: fc.constantFrom('/\\2\\1', '', 'x\\\\') }
const rewritePath = fc.oneof(
  fc.record({ kind: fc.constant('prefix' as const), prefix: path }),
  fc.record({ kind: fc.constant('regex' as const), ...substitute }),
)
const rewriteHost = fc.oneof(
  fc.constant({ kind: 'endpoint' as const }),
  fc.record({ kind: fc.constant('literal' as const), host: word }),
  fc.record({ kind: fc.constant('header' as const), name: word.map((text) => `x-${text}`) }),
  fc.record({ kind: fc.constant('path' as const), ...substitute }),
)
const limited = fc.array(header, { minLength: 1, maxLength: 2 })
const retry = fc.record(
  {
    on: fc.subarray([...RETRY_CONDITIONS]),
    retriesMax: fc.nat(5),
    perTryTimeoutMs: fc.nat(1000),
    statusCodes: fc.array(fc.integer({ min: 100, max: 599 }), { minLength: 1, maxLength: 2 }),
    responseHeaders: limited,
    requestHeaders: limited,
    backOff: fc
      .tuple(fc.integer({ min: 1, max: 100 }), fc.nat(1000))
      .map(([baseMs, more]) => ({ baseMs, maxMs: baseMs + more })),
    resetHeaders: fc.record({
      headers: fc.array(
        fc.record({ name: word, format: fc.constantFrom('seconds' as const, 'unix-timestamp' as const) }),
        { minLength: 1, maxLength: 2 },
      ),
      maxMs: fc.integer({ min: 1, max: 1000 }),
    }),
    omitHosts: fc.array(fc.dictionary(word, word, { minKeys: 1, maxKeys: 2 }), { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ['on', 'retriesMax'] },
)
const share = fc.record({
  numerator: fc.nat(100),
  denominator: fc.constantFrom(100 as const, 10_000 as const, 1_000_000 as const),
})
const bucket = fc.record({
  tokensMax: fc.integer({ min: 1, max: 100 }),
  tokensPerFill: fc.integer({ min: 1, max: 100 }),
  fillMs: fc.integer({ min: 1, max: 10_000 }),
})
const entry = fc.record({ key: word, value: word })
const leaf = fc.oneof(
  fc.constant({ kind: 'any' as const }),
  fc.record({ kind: fc.constant('header' as const), header }),
  fc.record({ kind: fc.constant('path' as const), path: string }),
)
const treeOf = <T>(of: fc.Arbitrary<T>) =>
  fc.oneof(
    of,
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(of, { minLength: 1, maxLength: 2 }),
    }),
    fc.record({ kind: fc.constant('not' as const), of }),
  )
const port = fc.integer({ min: 0, max: 65_000 })
const arrival = fc.oneof(
  fc.constant({ kind: 'destination-ip' as const, address: '10.0.0.0', prefixLength: 8 }),
  fc.tuple(port, fc.integer({ min: 1, max: 500 })).map(([from, size]) => ({
    kind: 'destination-port' as const,
    from,
    to: from + size,
  })),
  fc.record({ kind: fc.constant('server-name' as const), name: string }),
)
const permission = treeOf(treeOf(fc.oneof(leaf, arrival)))
const principal = treeOf(
  fc.oneof(
    leaf,
    fc.record({ kind: fc.constant('peer' as const), name: string }, { requiredKeys: ['kind'] }),
    fc.constant({ kind: 'source-ip' as const, address: '10.0.0.0', prefixLength: 8 }),
    fc.constant({ kind: 'source-ip' as const, address: '10.0.0.0', prefixLength: 8, direct: true as const }),
  ),
)
const policy = fc.record({
  permissions: fc.array(permission, { minLength: 1, maxLength: 2 }),
  principals: fc.array(principal, { minLength: 1, maxLength: 2 }),
})
const rules = fc.record({
  action: fc.constantFrom('allow' as const, 'deny' as const, 'log' as const),
  policies: word.chain((name) => policy.map((one) => ({ [`p-${name}`]: one }))),
})
const rbac = fc.oneof(
  fc.constant({}),
  fc.record({ rules }),
  fc.record({ rules, shadow: rules }),
  fc.record({ shadow: rules }),
)
const configured = fc.oneof(
  fc.record({ rbac }),
  fc.record({
    cors: fc.record(
      {
        origins: fc.array(string, { maxLength: 2 }),
        methods: word,
        headers: word,
        expose: word,
        maxAge: word,
        credentials: yes,
      },
      { requiredKeys: ['origins'] },
    ),
  }),
  fc.record({
    fault: fc.record(
      {
        delay: fc.record({ ms: fc.nat(1000), share }),
        abort: fc.record({ status: fc.integer({ min: 200, max: 599 }), share }),
        headers: limited,
      },
      { requiredKeys: [] },
    ),
    rateLimit: fc.record(
      {
        status: fc.integer({ min: 400, max: 599 }),
        bucket,
        enabled: share,
        enforced: share,
        descriptors: fc.array(fc.record({ entries: fc.array(entry, { minLength: 1, maxLength: 2 }), bucket }), {
          minLength: 1,
          maxLength: 2,
        }),
        descriptorsOnly: yes,
        statPrefix: word.map((text) => `p-${text}`),
        stage: fc.integer({ min: 1, max: 10 }),
        hostDescriptors: fc.constantFrom('include' as const, 'ignore' as const),
        perConnection: yes,
        tellsClient: yes,
        resourceExhausted: yes,
        addUnenforced: changes,
        addResponse: changes,
      },
      { requiredKeys: ['bucket', 'enabled', 'enforced'] },
    ),
  }),
)
const switched = fc.constant({ kind: 'off' as const })
const filters = fc.oneof(
  configured.map(saying),
  fc.record({ 'one more': switched, 'envoy.filters.http.rbac': fc.constant({ kind: 'off' as const }) }),
)
const metadataPath = fc.record({ namespace: word, path: fc.array(word, { minLength: 1, maxLength: 2 }) })
const action = fc.oneof(
  fc.record(
    { kind: fc.constant('header' as const), header: word, key: word, optional: yes },
    { requiredKeys: ['kind', 'header', 'key'] },
  ),
  fc.record({ kind: fc.constant('generic' as const), key: word, value: word }),
  fc.constant({ kind: 'remote-address' as const }),
  fc.constant({ kind: 'destination-cluster' as const }),
  fc.record({
    kind: fc.constant('masked-address' as const),
    bits4: fc.integer({ min: 0, max: 32 }),
    bits6: fc.integer({ min: 0, max: 128 }),
  }),
  fc.record({
    kind: fc.constant('header-match' as const),
    key: word,
    value: word,
    expect: fc.boolean(),
    headers: fc.array(header, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({
    kind: fc.constant('query-match' as const),
    key: word,
    value: word,
    expect: fc.boolean(),
    query: fc.array(query, { minLength: 1, maxLength: 2 }),
  }),
  fc.record(
    { kind: fc.constant('metadata' as const), key: word, from: metadataPath, default: word, optional: yes },
    { requiredKeys: ['kind', 'key', 'from'] },
  ),
)
const descriptors = fc.array(
  fc.record(
    {
      actions: fc.array(action, { minLength: 1, maxLength: 2 }),
      stage: fc.integer({ min: 1, max: 10 }),
      limit: metadataPath,
    },
    { requiredKeys: ['actions'] },
  ),
  { minLength: 1, maxLength: 2 },
)
const traffic = {
  mirrors: fc.array(fc.record({ cluster: word, share, keepHost: yes }, { requiredKeys: ['cluster', 'share'] }), {
    minLength: 1,
    maxLength: 2,
  }),
  hash: fc.array(
    fc.oneof(
      fc.record(
        { kind: fc.constantFrom('header' as const, 'cookie' as const, 'query' as const), name: word, terminal: yes },
        { requiredKeys: ['kind', 'name'] },
      ),
      fc.constant({ kind: 'source-ip' as const }),
    ),
    { minLength: 1, maxLength: 2 },
  ),
  descriptors,
  upgrades: fc.constantFrom(
    [{ type: 'websocket', enabled: false }],
    [
      { type: 'websocket', enabled: true },
      { type: 'foo', enabled: true },
    ],
  ),
}
const times = { timeoutMs: fc.nat(100_000), idleTimeoutMs: fc.nat(1000), durationMaxMs: fc.nat(1000) }
const subset = fc.dictionary(word, fc.oneof(word, fc.boolean(), fc.nat(9)), { minKeys: 1, maxKeys: 2 })
const byHeader = fc.record({ header: word })
const weighted = fc.array(
  fc.record(
    {
      name: fc.oneof(word, byHeader),
      weight: fc.integer({ min: 1, max: 100 }),
      headers,
      filters,
      subset,
      rewriteHost: fc.record({ kind: fc.constant('literal' as const), host: word }),
    },
    { requiredKeys: ['name', 'weight'] },
  ),
  {
    minLength: 1,
    maxLength: 3,
  },
)
const common = { name: word, match, headers, filters }
const redirect = fc.record(
  {
    status: fc.constantFrom(301 as const, 302 as const, 303 as const, 307 as const, 308 as const),
    scheme: fc.constantFrom('http', 'https'),
    host: word,
    port: fc.integer({ min: 1, max: 65_535 }),
    path: fc.oneof(fc.record({ kind: fc.constant('path' as const), path }), rewritePath),
    stripQuery: yes,
  },
  { requiredKeys: ['status'] },
)
const route = fc.oneof(
  fc.record(
    {
      ...common,
      cluster: fc.oneof(word, byHeader, weighted),
      unknownClusterStatus: fc.constantFrom(404 as const, 500 as const),
      subset,
      priority: fc.constant('high' as const),
      grpcTimeout: fc.record({ maxMs: fc.nat(1000), offsetMs: fc.nat(100) }, { requiredKeys: ['maxMs'] }),
      ...times,
      ...traffic,
      retry,
      rewritePath,
      rewriteHost,
      forwardedHost: yes,
    },
    { requiredKeys: ['match', 'cluster', 'timeoutMs'] },
  ),
  fc.record({ ...common, redirect }, { requiredKeys: ['match', 'redirect'] }),
  fc.record(
    { ...common, direct: fc.record({ status: fc.constantFrom(200, 404, 599), body: fc.string({ maxLength: 20 }) }) },
    { requiredKeys: ['match', 'direct'] },
  ),
)
const domain = fc.oneof(
  word,
  word.map((text) => `*.${text}`),
  word.map((text) => `${text}.*`),
  fc.constant('*'),
)
const table: fc.Arbitrary<RouteTable> = fc.record(
  {
    name: word,
    hosts: fc.uniqueArray(domain, { minLength: 1, maxLength: 4 }).chain((domains) =>
      fc.tuple(
        ...domains.map((one) =>
          fc.record(
            {
              name: word,
              domains: fc.constant([one]),
              routes: fc.array(route, { maxLength: 3 }),
              headers,
              filters,
              descriptors,
              retry,
              attemptCount: fc.oneof(
                fc.record({ request: yes }),
                fc.record({ request: yes, response: yes }),
                fc.record({ response: yes }),
              ),
            },
            { requiredKeys: ['name', 'domains', 'routes'] },
          ),
        ),
      ),
    ),
    ignorePort: yes,
    mostSpecificHeadersWin: yes,
    headers,
    filters,
  },
  { requiredKeys: ['name', 'hosts'] },
)

type Init = MessageInitShape<typeof RouteConfigurationSchema>

function decoded(init: Init): ReturnType<typeof decodeResource> {
  const envelope = encodeResource({ kind: 'route', value: { name: 't', hosts: [] } })
  envelope.resource = anyPack(RouteConfigurationSchema, create(RouteConfigurationSchema, { name: 't', ...init }))
  return decodeResource('route', envelope)
}

type RouteInit = MessageInitShape<typeof RouteSchema>

/** One virtual host with one route to cluster `a`, changed. */
const withRoute = (init: RouteInit): Init => ({
  virtualHosts: [
    {
      name: 'h',
      domains: ['*'],
      routes: [
        create(RouteSchema, {
          match: { pathSpecifier: { case: 'prefix', value: '/' } },
          action: {
            case: 'route',
            value: { clusterSpecifier: { case: 'cluster', value: 'a' }, timeout: { seconds: 1n } },
          },
          ...init,
        } as RouteInit),
      ],
    },
  ],
})

const forward = (value: object): object => ({
  action: { case: 'route', value: { clusterSpecifier: { case: 'cluster', value: 'a' }, ...value } },
})

function pathOf(init: Init): string {
  const result = decoded(init)
  if (!('rejection' in result)) throw new Error('the table was accepted')
  return result.rejection.path
}

describe('the route codec', () => {
  it('returns every table as it was, through bytes', () => {
    fc.assert(
      fc.property(table, (original) => {
        const bytes = resourceToBytes(encodeResource({ kind: 'route', value: original }))
        expect(decodeResource('route', resourceFromBytes(bytes))).toEqual({ kind: 'route', value: original })
      }),
    )
  })

  it('never throws on mutated bytes', () => {
    fc.assert(
      fc.property(table, fc.nat(), fc.nat(255), (original, at, value) => {
        const envelope = encodeResource({ kind: 'route', value: original })
        const any = envelope.resource
        if (any === undefined) throw new Error('empty')
        any.value[at % any.value.length] = value
        decodeResource('route', envelope)
      }),
    )
  })

  it('reads domains without case, as Envoy does, and refuses a star within one', () => {
    const result = decoded({ virtualHosts: [{ name: 'h', domains: ['API.Test'] }] })
    expect(result).toMatchObject({ value: { hosts: [{ domains: ['api.test'] }] } })
    expect(pathOf({ virtualHosts: [{ name: 'h', domains: ['a.*.b'] }] })).toBe('virtual_hosts[0].domains')
    expect(pathOf({ virtualHosts: [{ name: 'h', domains: ['A', 'a'] }] })).toBe('virtual_hosts[0].domains')
  })

  it('reads the deprecated spellings of header matchers', () => {
    const headers = [
      { name: 'X-A', headerMatchSpecifier: { case: 'exactMatch' as const, value: '1' } },
      { name: 'x-b', headerMatchSpecifier: { case: 'safeRegexMatch' as const, value: { regex: 'a+' } } },
      { name: 'x-c' },
    ]
    const result = decoded(withRoute({ match: { pathSpecifier: { case: 'prefix', value: '/' }, headers } }))
    const again =
      'rejection' in result || result.kind !== 'route' ? [] : result.value.hosts[0]?.routes[0]?.match.headers
    expect(again).toEqual([
      { name: 'x-a', is: { kind: 'exact', value: '1' } },
      { name: 'x-b', is: { kind: 'regex', value: 'a+' } },
      { name: 'x-c', is: { kind: 'present', present: true } },
    ])
  })

  it.each([
    ['match.safe_regex.regex', { match: { pathSpecifier: { case: 'safeRegex', value: { regex: '(a' } } } }],
    ['match.safe_regex.regex', { match: { pathSpecifier: { case: 'safeRegex', value: { regex: '(?=a)' } } } }],
    ['match.prefix', { match: { pathSpecifier: { case: 'prefix', value: 'a' } } }],
    ['match.path_separated_prefix', { match: { pathSpecifier: { case: 'pathSeparatedPrefix', value: '/a/' } } }],
    ['match.runtime_fraction', { match: { pathSpecifier: { case: 'prefix', value: '/' }, runtimeFraction: {} } }],
    [
      'match.headers[0].name',
      { match: { pathSpecifier: { case: 'prefix', value: '/' }, headers: [{ name: 'Transfer-Encoding' }] } },
    ],
    ['route.cluster', { action: { case: 'route', value: {} } }],
    ['route.cluster_header', forward({ clusterSpecifier: { case: 'clusterHeader', value: 'x y' } })],
    [
      'route.weighted_clusters',
      forward({ clusterSpecifier: { case: 'weightedClusters', value: { clusters: [{ name: 'a' }] } } }),
    ],
    ['route.regex_rewrite.substitution', forward({ regexRewrite: { pattern: { regex: 'a' }, substitution: '\\1' } })],
    ['route.retry_policy.retry_on', forward({ retryPolicy: { retryOn: 'http3-post-connect-failure' } })],
    ['route.retry_policy.retry_priority', forward({ retryPolicy: { retryOn: '5xx', retryPriority: { name: 'x' } } })],
    ['route.retry_policy.retry_host_predicate[0]', forward({ retryPolicy: { retryHostPredicate: [{ name: 'x' }] } })],
    [
      'route.retry_policy.retry_back_off.base_interval',
      forward({ retryPolicy: { retryBackOff: { baseInterval: {} } } }),
    ],
    ['route.hedge_policy', forward({ hedgePolicy: {} })],
    [
      'route.hash_policy[0].filter_state',
      forward({ hashPolicy: [{ policySpecifier: { case: 'filterState', value: { key: 'x' } } }] }),
    ],
    [
      'route.hash_policy[0].cookie.ttl',
      forward({ hashPolicy: [{ policySpecifier: { case: 'cookie', value: { name: 'a', ttl: { seconds: 1n } } } }] }),
    ],
    [
      'route.rate_limits[0].stage',
      forward({ rateLimits: [{ stage: 11, actions: [{ actionSpecifier: { case: 'remoteAddress', value: {} } }] }] }),
    ],
    [
      'route.request_mirror_policies[0].trace_sampled',
      forward({ requestMirrorPolicies: [{ cluster: 'a', traceSampled: true }] }),
    ],
    ['route.hedge_policy', forward({ hedgePolicy: { hedgeOnPerTryTimeout: true } })],
    ['request_headers_to_add[0].header.key', { requestHeadersToAdd: [{ header: { key: 'Host', value: 'x' } }] }],
    [
      'request_headers_to_add[0].header.key',
      { requestHeadersToAdd: [{ header: { key: 'isthmus-peer', value: 'x' } }] },
    ],
    ['response_headers_to_add[0].header.value', { responseHeadersToAdd: [{ header: { key: 'a', value: '%FOO%' } }] }],
    ['response_headers_to_add[0].header.value', { responseHeadersToAdd: [{ header: { key: 'a', value: 'x\r\ny' } }] }],
    ['request_headers_to_remove[0]', { requestHeadersToRemove: [':path'] }],
    [
      'redirect.path_redirect',
      { action: { case: 'redirect', value: { pathRewriteSpecifier: { case: 'pathRedirect', value: 'x' } } } },
    ],
    ['direct_response.status', { action: { case: 'directResponse', value: { status: 100 } } }],
    [
      'direct_response.body.filename',
      {
        action: {
          case: 'directResponse',
          value: { status: 200, body: { specifier: { case: 'filename', value: '/etc/passwd' } } },
        },
      },
    ],
    ['decorator', { decorator: { operation: 'x' } }],
  ] as const)('refuses by path: %s', (at, init) => {
    expect(pathOf(withRoute(init as RouteInit))).toBe(`virtual_hosts[0].routes[0].${at}`)
  })

  it('refuses by path what a filter of a route cannot do', () => {
    const limit = create(LocalRateLimitSchema, {
      statPrefix: 'x',
      tokenBucket: { maxTokens: 1, fillInterval: { seconds: 1n } },
    })
    const name = 'envoy.filters.http.local_ratelimit'
    const at = `virtual_hosts[0].routes[0].typed_per_filter_config["${name}"]`
    const path = (): string =>
      pathOf(withRoute({ typedPerFilterConfig: { [name]: anyPack(LocalRateLimitSchema, limit) } }))
    // Envoy would take it for a limit that is never enforced.
    expect(path()).toBe(`${at}.filter_enabled.default_value`)
    limit.filterEnabled = create(RuntimeFractionalPercentSchema, { defaultValue: {} })
    limit.filterEnforced = limit.filterEnabled
    limit.stage = 11
    expect(path()).toBe(`${at}.stage`)
    const other = { 'envoy.filters.http.lua': anyPack(RouteConfigurationSchema, create(RouteConfigurationSchema)) }
    expect(pathOf(withRoute({ typedPerFilterConfig: other }))).toContain('envoy.filters.http.lua')
    const optional = anyPack(FilterConfigSchema, create(FilterConfigSchema, { isOptional: true }))
    expect(pathOf(withRoute({ typedPerFilterConfig: { x: optional } }))).toContain('["x"].is_optional')
  })

  it.each([
    ['permissions[0].destination_port', { permissions: [{ rule: { case: 'destinationPort', value: 65_536 } }] }],
    ['permissions[0].metadata.filter', { permissions: [{ rule: { case: 'metadata', value: {} } }] }],
    ['principals[0].or_ids', { principals: [{ identifier: { case: 'orIds', value: {} } }] }],
    ['principals[0].any', { principals: [{ identifier: { case: 'any', value: false } }] }],
    ['principals', { principals: [] }],
    ['condition', { condition: {} }],
  ] as const)('refuses by path what a policy cannot judge: %s', (at, change) => {
    const one = {
      permissions: [{ rule: { case: 'any' as const, value: true } }],
      principals: [{ identifier: { case: 'any' as const, value: true } }],
      ...change,
    } as object
    const message = create(RBACPerRouteSchema, { rbac: { rules: { policies: { x: one } } } })
    const name = 'envoy.filters.http.rbac'
    const found = pathOf(withRoute({ typedPerFilterConfig: { [name]: anyPack(RBACPerRouteSchema, message) } }))
    expect(found).toBe(`virtual_hosts[0].routes[0].typed_per_filter_config["${name}"].rbac.rules.policies["x"].${at}`)
  })

  it('writes what Envoy reads', () => {
    const value: RouteTable = {
      name: 't',
      hosts: [
        {
          name: 'h',
          domains: ['*'],
          routes: [{ match: { kind: 'separated-prefix', prefix: '/a' }, cluster: 'a', timeoutMs: 0 }],
        },
      ],
    }
    const any = encodeResource({ kind: 'route', value }).resource
    const message = fromBinary(RouteConfigurationSchema, any?.value ?? new Uint8Array())
    expect(message.virtualHosts[0]?.routes[0]?.match?.pathSpecifier).toEqual({
      case: 'pathSeparatedPrefix',
      value: '/a',
    })
  })
})
