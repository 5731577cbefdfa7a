import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClusterSchema } from '#gen/envoy/config/cluster/v3/cluster_pb.js'
import { ListenerSchema } from '#gen/envoy/config/listener/v3/listener_pb.js'
import { RouteConfigurationSchema } from '#gen/envoy/config/route/v3/route_pb.js'
import { UpstreamTlsContextSchema } from '#gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js'
import type { Resource } from '#gen/envoy/service/discovery/v3/discovery_pb.js'
import { type Cluster, type Endpoint, HiddenText, type Listener, type Rejection } from '../../model/config.ts'
import {
  type Decoded,
  decodeResource,
  encodeResource,
  type ModelResource,
  nameOf,
  resourceFromBytes,
  resourceToBytes,
} from './codec.ts'

const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
const host = fc
  .array(word, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.map((p) => p.replace(/-+$/, '')).join('.'))
const port = fc.integer({ min: 1, max: 65535 })
const ip = fc.ipV4()
const spiffe = fc.tuple(host, word, word).map(([domain, ns, sa]) => `spiffe://${domain}/ns/${ns}/sa/${sa}`)
const principals = fc.record({
  trustDomains: fc.array(host, { maxLength: 3 }),
  ids: fc.array(spiffe, { maxLength: 3 }),
})
const retry = fc.record({
  on: fc.uniqueArray(
    fc.constantFrom(
      'connect-failure' as const,
      'refused-stream' as const,
      'reset-before-request' as const,
      'gateway-error' as const,
    ),
  ),
  retriesMax: fc.nat(5),
})
const route = fc.record(
  {
    match: fc.oneof(
      fc.record({ kind: fc.constant('prefix' as const), prefix: word.map((text) => `/${text}`) }),
      fc.constant({ kind: 'connect' as const }),
    ),
    cluster: word,
    timeoutMs: fc.nat(100_000),
    retry,
    allow: principals,
  },
  { requiredKeys: ['match', 'cluster', 'timeoutMs'] },
)
const routeTable = fc.record({
  name: word,
  hosts: fc
    .uniqueArray(fc.oneof(host, fc.constant('*')), { minLength: 1, maxLength: 4 })
    .chain((domains) =>
      fc.tuple(
        ...domains.map((domain) =>
          fc.record({ name: word, domains: fc.constant([domain]), routes: fc.array(route, { maxLength: 3 }) }),
        ),
      ),
    ),
})
const http = {
  kind: fc.constant('http' as const),
  statPrefix: word,
  routes: fc.oneof(fc.record({ rds: word }), routeTable),
}
const upgrades = fc.constantFrom([], [{ type: 'foo', enabled: true }], [{ type: 'websocket', enabled: false }])
const httpFilter = fc.oneof(
  fc.record({ ...http, mode: fc.constant('tunnel' as const) }),
  fc.record(
    { ...http, mode: fc.constantFrom('forward' as const, 'inbound' as const), upgrades },
    { requiredKeys: ['kind', 'statPrefix', 'routes', 'mode'] },
  ),
)
const tcpFilter = fc.record({ kind: fc.constant('tcp' as const), statPrefix: word, cluster: word })
const listener: fc.Arbitrary<Listener> = fc.record({
  name: word,
  address: ip,
  port,
  chains: fc.uniqueArray(host, { minLength: 1, maxLength: 4 }).chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record(
          {
            name: word,
            serverNames: fc.constant([name]),
            tls: fc.record({ certificate: word, validation: word, alpn: fc.array(word, { maxLength: 2 }) }),
            allow: principals,
            filter: fc.oneof(httpFilter, tcpFilter),
          },
          { requiredKeys: ['name', 'serverNames', 'filter'] },
        ),
      ),
    ),
  ),
})
const tunnel = fc.record({
  authority: host,
  cluster: word,
  trustDomain: host,
  gatewaySni: host,
  gatewayIdentity: spiffe,
  innerSni: host,
  identities: fc.array(spiffe, { maxLength: 3 }),
  endpoints: fc.nat(1000),
})
const metadata = fc.dictionary(word, fc.oneof(word, fc.nat(9), fc.boolean(), fc.array(word, { maxLength: 2 })), {
  maxKeys: 2,
  noNullPrototype: true,
})
const plainEndpoint = fc.record(
  {
    address: ip,
    port,
    health: fc.constantFrom('healthy' as const, 'unhealthy' as const, 'draining' as const),
    weight: fc.integer({ min: 1, max: 1000 }),
    transport: fc.constantFrom('mtls' as const, 'plain' as const),
    workload: fc.record({ cluster: word, namespace: word, workload: word }),
    id: word,
    metadata,
  },
  { requiredKeys: ['address', 'port', 'health', 'weight', 'transport', 'workload'] },
)
const endpoint: fc.Arbitrary<Endpoint> = fc.oneof(
  plainEndpoint,
  fc
    .tuple(plainEndpoint, tunnel)
    .map(([base, inner]) => Object.assign({}, base, { transport: 'tunnel' as const, tunnel: inner })),
)
const assignment = fc.record(
  {
    cluster: word,
    overprovisioningPercent: fc.integer({ min: 1, max: 300 }),
    localities: fc.array(
      fc.record({
        locality: fc.record({ cloud: fc.oneof(word, fc.constant('')), region: word, zone: word }),
        priority: fc.nat(128),
        weight: fc.nat(1000),
        endpoints: fc.array(endpoint, { maxLength: 3 }),
      }),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ['cluster', 'localities'] },
)
const slowStart = fc.record(
  { windowMs: fc.nat(60_000), aggression: fc.constantFrom(0.5, 2), weightPercentMin: fc.nat(100) },
  { requiredKeys: ['windowMs'] },
)
/** A policy with the settings that belong to it. */
const policy = fc.oneof(
  fc.constantFrom({ lb: 'least-request' as const }, { lb: 'random' as const }, { lb: 'maglev' as const }),
  fc.record(
    {
      lb: fc.constant('least-request' as const),
      leastRequest: fc.record({ choiceCount: fc.integer({ min: 2, max: 9 }), activeRequestBias: fc.constant(0.5) }),
      slowStart,
    },
    { requiredKeys: ['lb'] },
  ),
  fc.record({ lb: fc.constant('round-robin' as const), slowStart }, { requiredKeys: ['lb'] }),
  fc.record(
    {
      lb: fc.constant('ring-hash' as const),
      ringHash: fc.record({ sizeMin: fc.nat(1_000), sizeMax: fc.integer({ min: 1_024, max: 8_388_608 }) }),
    },
    { requiredKeys: ['lb'] },
  ),
  fc.record({ lb: fc.constant('maglev' as const), maglev: fc.constant({ tableSize: 65_537 }) }),
)
const subsets = fc.record(
  {
    fallback: fc.constantFrom('none' as const, 'any' as const, 'default' as const),
    selectors: fc.array(
      fc.oneof(
        fc.record(
          {
            keys: fc.uniqueArray(word, { minLength: 1, maxLength: 2 }),
            fallback: fc.constantFrom('none' as const, 'any' as const, 'default' as const),
          },
          { requiredKeys: ['keys'] },
        ),
        fc.constant({ keys: ['a', 'b'], fallback: 'keys' as const, fallbackKeys: ['b'] }),
      ),
      { maxLength: 2 },
    ),
    defaultSubset: metadata,
    localityWeightAware: fc.constant(true as const),
    listAsAny: fc.constant(true as const),
  },
  { requiredKeys: ['fallback', 'selectors'] },
)
const limit = fc.nat(10_000)
const thresholds = fc.record(
  {
    connectionsMax: limit,
    pendingMax: limit,
    requestsMax: limit,
    retriesMax: limit,
    retryBudget: fc.record({ percent: fc.nat(100), concurrencyMin: limit }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
)
const circuitBreakers = fc.record(
  { default: thresholds, high: thresholds, hostConnectionsMax: limit },
  { requiredKeys: [] },
)
const connections = fc
  .record(
    {
      idleMs: fc.nat(100_000),
      durationMaxMs: fc.integer({ min: 1, max: 100_000 }),
      requestsMax: fc.integer({ min: 1, max: 1_000 }),
    },
    { requiredKeys: [] },
  )
  .filter((settings) => Object.keys(settings).length > 0)
const share = fc.integer({ min: 1, max: 99 })
const count = fc.integer({ min: 1, max: 100 })
const outlier = fc
  .record(
    {
      consecutiveErrors: fc.nat(100),
      consecutive5xx: count,
      consecutiveLocalOrigin: count,
      share,
      successRate: fc.record(
        { hostsMin: count, volumeMin: count, stdevFactor: count, enforcing: share },
        { requiredKeys: [] },
      ),
      failurePercentage: fc.record(
        { threshold: fc.nat(100), hostsMin: count, volumeMin: count, enforcing: share },
        { requiredKeys: ['enforcing'] },
      ),
      intervalMs: fc.integer({ min: 50, max: 100_000 }),
      baseEjectionMs: fc.integer({ min: 1, max: 100_000 }),
      ejectionMsMax: fc.integer({ min: 100_000, max: 900_000 }),
      ejectionJitterMs: fc.nat(1_000),
      ejectionPercentMax: fc.nat(100),
      alwaysEjectOne: fc.constant(true as const),
    },
    { requiredKeys: ['consecutiveErrors', 'baseEjectionMs', 'ejectionPercentMax'] },
  )
  // A share stands only beside the detector it belongs to.
  .map(({ share, ...rest }) => {
    const enforcing = {
      ...(share !== undefined && rest.consecutiveErrors > 0 && { errors: share }),
      ...(share !== undefined && rest.consecutive5xx !== undefined && { fives: share }),
    }
    return Object.keys(enforcing).length === 0 ? rest : Object.assign({}, rest, { enforcing })
  })
const range = fc.integer({ min: 100, max: 598 }).map((from) => ({ from, to: from + 1 }))
const healthCheck = fc.record(
  {
    timeoutMs: count,
    intervalMs: count,
    initialJitterMs: count,
    intervalJitterMs: count,
    intervalJitterPercent: count,
    unhealthyThreshold: count,
    healthyThreshold: count,
    noTrafficIntervalMs: count,
    noTrafficHealthyIntervalMs: count,
    unhealthyIntervalMs: count,
    unhealthyEdgeIntervalMs: count,
    healthyEdgeIntervalMs: count,
    check: fc.oneof(
      fc.constant({ kind: 'tcp' as const }),
      fc.record(
        {
          kind: fc.constant('http' as const),
          path: word.map((text) => `/${text}`),
          host: word,
          method: fc.constantFrom('GET' as const, 'HEAD' as const),
          expected: fc.array(range, { minLength: 1, maxLength: 2 }),
          retriable: fc.array(range, { minLength: 1, maxLength: 2 }),
        },
        { requiredKeys: ['kind', 'path'] },
      ),
    ),
  },
  { requiredKeys: ['timeoutMs', 'intervalMs', 'unhealthyThreshold', 'healthyThreshold', 'check'] },
)
const clusterBase = fc.record(
  {
    name: word,
    endpoints: fc.oneof(fc.constant('eds' as const), assignment),
    connectTimeoutMs: fc.nat(60_000),
    panicPercent: fc.nat(100),
    localityWeighted: fc.constant(false as const),
    subsets,
    healthCheck,
    circuitBreakers,
    connections,
    tls: fc.record({
      certificate: word,
      validation: word,
      sni: host,
      alpn: fc.subarray(['h2', 'isthmus-tcp']),
      identities: fc.array(spiffe, { maxLength: 3 }),
    }),
    outlier,
  },
  { requiredKeys: ['name', 'endpoints', 'connectTimeoutMs'] },
)
const dns = fc.record(
  {
    kind: fc.constant('strict' as const),
    refreshMs: fc.integer({ min: 50, max: 60_000 }),
    respectTtl: fc.constant(true as const),
    family: fc.constantFrom('v4' as const, 'all' as const),
  },
  { requiredKeys: ['kind'] },
)
const cluster: fc.Arbitrary<Cluster> = fc
  .tuple(clusterBase, policy, fc.option(dns))
  .map(([base, lb, names]) =>
    Object.assign({}, base, lb, base.endpoints === 'eds' || names === null ? {} : { dns: names }),
  )
const pem = fc
  .base64String({ minLength: 8, maxLength: 64 })
  .map((text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`)
const secret = fc.record({
  name: word,
  roots: fc.dictionary(host, fc.array(pem, { minLength: 1, maxLength: 3 }), { maxKeys: 3, noNullPrototype: true }),
  revokedTrustDomains: fc.array(host, { maxLength: 2 }),
  revokedIssuers: fc.array(fc.stringMatching(/^[0-9a-f]{40}$/), { maxLength: 2 }),
})
const resource: fc.Arbitrary<ModelResource> = fc.oneof(
  cluster.map((value) => ({ kind: 'cluster' as const, value })),
  assignment.map((value) => ({ kind: 'endpoints' as const, value })),
  listener.map((value) => ({ kind: 'listener' as const, value })),
  routeTable.map((value) => ({ kind: 'route' as const, value })),
  secret.map((value) => ({ kind: 'secret' as const, value })),
)

function rejectionOf(decoded: Decoded): Rejection {
  if (!('rejection' in decoded)) throw new Error('the resource was accepted')
  return decoded.rejection
}

describe('codec', () => {
  it('returns every resource as it was, through bytes', () => {
    fc.assert(
      fc.property(resource, (original) => {
        const bytes = resourceToBytes(encodeResource(original, 'v1'))
        expect(decodeResource(original.kind, resourceFromBytes(bytes))).toEqual(original)
      }),
    )
  })

  it('encodes the same value to the same bytes', () => {
    fc.assert(
      fc.property(resource, (original) => {
        const again = structuredClone(original)
        expect(resourceToBytes(encodeResource(again))).toEqual(resourceToBytes(encodeResource(original)))
      }),
      { numRuns: 30 },
    )
  })

  it('never throws on mutated bytes', () => {
    fc.assert(
      fc.property(resource, fc.nat(), fc.nat(255), (original, at, value) => {
        const encoded = encodeResource(original)
        const any = encoded.resource
        if (any === undefined || any.value.length === 0) return
        any.value[at % any.value.length] = value
        const decoded = decodeResource(original.kind, encoded)
        if ('rejection' in decoded) expect(decoded.rejection.resource).toBe(nameOf(original))
      }),
    )
  })
})

const CLUSTER: Cluster = {
  name: 'outbound|80||a.shop.svc.cluster.local',
  endpoints: 'eds',
  lb: 'least-request',
  connectTimeoutMs: 1000,
  tls: { certificate: 'default', validation: 'ROOTCA', sni: 'a', alpn: ['h2'], identities: [] },
}
const LISTENER: Listener = {
  name: 'inbound-mesh',
  address: '10.0.0.1',
  port: 15008,
  chains: [
    {
      name: 'a',
      serverNames: ['a'],
      tls: { certificate: 'default', validation: 'ROOTCA', alpn: ['h2'] },
      filter: { kind: 'http', statPrefix: 'inbound', mode: 'inbound', routes: { rds: 'a' } },
    },
  ],
}

function refusalOfCluster(change: (message: ReturnType<typeof clusterMessage>) => void): Rejection {
  const message = clusterMessage()
  change(message)
  const envelope = encodeResource({ kind: 'cluster', value: CLUSTER })
  envelope.resource = anyPack(ClusterSchema, message)
  return rejectionOf(decodeResource('cluster', envelope))
}
const clusterMessage = () => fromBinary(ClusterSchema, anyOf(encodeResource({ kind: 'cluster', value: CLUSTER })))

function anyOf(envelope: Resource): Uint8Array {
  return envelope.resource?.value ?? new Uint8Array()
}

describe('decodeResource', () => {
  it('refuses a field that is not supported by its path', () => {
    const refusal = refusalOfCluster((message) => {
      message.upstreamBindConfig = create(ClusterSchema, {}).upstreamBindConfig
      message.dnsRefreshRate = message.connectTimeout
    })
    expect(refusal).toMatchObject({ kind: 'cluster', resource: CLUSTER.name, path: 'dns_refresh_rate' })
  })

  it('refuses a field number that no version of the proto has', () => {
    const envelope = encodeResource({ kind: 'cluster', value: CLUSTER })
    const any = envelope.resource
    if (any === undefined) throw new Error('empty')
    any.value = Buffer.concat([any.value, Buffer.from([0xf8, 0xff, 0x03, 0x01])])
    expect(rejectionOf(decodeResource('cluster', envelope)).path).toBe('#8191')
  })

  it('refuses a TLS context that would accept anyone', () => {
    const refusal = refusalOfCluster((message) => {
      const socket = message.transportSocketMatches[0]?.transportSocket
      const config = socket?.configType.case === 'typedConfig' ? socket.configType.value : undefined
      if (config === undefined) throw new Error('no socket')
      const context = fromBinary(UpstreamTlsContextSchema, config.value)
      const validation = context.commonTlsContext?.validationContextType
      if (validation?.case !== 'combinedValidationContext') throw new Error('no validation')
      validation.value.defaultValidationContext = undefined
      config.value = toBinary(UpstreamTlsContextSchema, context)
    })
    expect(refusal.path).toContain('combined_validation_context.default_validation_context')
    expect(refusal.message).toContain('any identity')
  })

  it('never sends an empty list of identities, which Envoy would take as anyone', () => {
    const text = Buffer.from(anyOf(encodeResource({ kind: 'cluster', value: CLUSTER }))).toString('latin1')
    expect(text).toContain('spiffe://no-one.invalid')
  })

  it('refuses an unknown extension by name and place', () => {
    const envelope = encodeResource({ kind: 'listener', value: LISTENER })
    const message = fromBinary(ListenerSchema, anyOf(envelope))
    const filter = message.filterChains[0]?.filters[0]
    if (filter === undefined) throw new Error('no filter')
    filter.name = 'envoy.filters.network.wasm'
    envelope.resource = anyPack(ListenerSchema, message)
    expect(rejectionOf(decodeResource('listener', envelope))).toMatchObject({
      path: 'filter_chains[0].filters[0]',
      message: 'filter envoy.filters.network.wasm is not supported',
    })
  })

  it('refuses a prefix that reaches beyond its trust domain', () => {
    const table = {
      name: 'east-west',
      hosts: [
        {
          name: 'a',
          domains: ['a'],
          routes: [
            {
              match: { kind: 'connect' as const },
              cluster: 'a',
              timeoutMs: 0,
              allow: { trustDomains: ['east'], ids: [] },
            },
          ],
        },
      ],
    }
    const envelope = encodeResource({ kind: 'route', value: table })
    const message = fromBinary(RouteConfigurationSchema, anyOf(envelope))
    const config = message.virtualHosts[0]?.routes[0]?.typedPerFilterConfig['envoy.filters.http.rbac']
    if (config === undefined) throw new Error('no rbac')
    config.value = Buffer.from(
      Buffer.from(config.value).toString('latin1').replace('spiffe://east/', 'spiffe://eastx'),
      'latin1',
    )
    envelope.resource = anyPack(RouteConfigurationSchema, message)
    expect(rejectionOf(decodeResource('route', envelope)).message).toContain('exactly spiffe://<trust domain>/')
  })

  it('reads a certificate in a Secret, and shows its key to no one', () => {
    const pair = { chain: { text: 'CHAIN' }, key: { hidden: new HiddenText('KEY') } }
    const value = { kind: 'certificate', name: 'server', pair } as const
    const decoded = decodeResource('secret', encodeResource({ kind: 'secret', value }))
    if ('rejection' in decoded || decoded.kind !== 'secret') throw new Error('no secret')
    expect(JSON.stringify(decoded.value)).not.toContain('KEY')
    const { value: read } = decoded
    const key = read.kind === 'certificate' && 'hidden' in read.pair.key ? read.pair.key.hidden.reveal() : ''
    expect(key).toBe('KEY')
  })

  it('refuses a resource whose inner name is another', () => {
    const envelope = encodeResource({ kind: 'cluster', value: CLUSTER })
    envelope.name = 'other'
    expect(rejectionOf(decodeResource('cluster', envelope)).path).toBe('name')
  })

  it('refuses one server name in two chains', () => {
    const [chain] = LISTENER.chains
    if (chain === undefined) throw new Error('no chain')
    const envelope = encodeResource({ kind: 'listener', value: { ...LISTENER, chains: [chain, chain] } })
    expect(rejectionOf(decodeResource('listener', envelope)).path).toBe('filter_chains[1].filter_chain_match')
  })
})
