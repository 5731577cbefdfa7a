/** HTTPRoute, GRPCRoute, TLSRoute and TCPRoute. */
import { z } from 'zod'
import { GRPC_ROUTES, HTTP_ROUTES, TCP_ROUTES, TLS_ROUTES } from '../../kinds/gateway-api.ts'
import { celRules } from '../definition.ts'
import {
  AGE,
  atomic,
  backendRef,
  duration,
  gatewayKind,
  hostname,
  HOSTNAMES,
  parentRefs,
  routeStatus,
  sectionName,
  uniqueNames,
  useDefaultGateways,
} from './common.ts'
import { grpcFilters, httpFilters, method, sessionPersistence, valueMatches } from './filters.ts'

const common = () => ({
  parentRefs: parentRefs().exactOptional(),
  useDefaultGateways: useDefaultGateways().exactOptional(),
})

const hostnames = () => z.array(hostname()).max(16).meta(atomic)

const path = () =>
  z
    .strictObject({
      type: z.enum(['Exact', 'PathPrefix', 'RegularExpression']).default('PathPrefix'),
      value: z.string().max(1_024).default('/'),
    })
    .meta(
      celRules(
        ...[
          ["self.value.startsWith('/')", 'begins with /'],
          ["!self.value.contains('//')", 'has no empty part'],
          [
            "!(self.value.contains('/./') || self.value.contains('/../') || self.value.endsWith('/.') || self.value.endsWith('/..'))",
            'has no dot as a part',
          ],
          [
            "!(self.value.contains('%2f') || self.value.contains('%2F') || self.value.contains('#'))",
            'has no escaped slash and no #',
          ],
        ].map(([rule = '', message = '']) => ({
          rule: `(has(self.type) && self.type == 'RegularExpression') || !has(self.value) || (${rule})`,
          message: `a path that is no regular expression ${message}`,
        })),
      ),
    )

const ANYTHING = { path: { type: 'PathPrefix' as const, value: '/' } }

const httpMatch = z.strictObject({
  path: path().default({ type: 'PathPrefix', value: '/' }),
  headers: valueMatches(4_096).exactOptional(),
  queryParams: valueMatches(1_024).exactOptional(),
  method: method().exactOptional(),
})

const REPLACES_PREFIX = (filters: string): string =>
  `${filters}.exists(f, (has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch') || (has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch'))`
const ONE_PREFIX =
  "(!has(self.matches) || (size(self.matches) == 1 && self.matches.all(m, !has(m.path) || !has(m.path.type) || m.path.type == 'PathPrefix')))"

const httpRule = z
  .strictObject({
    name: sectionName().exactOptional(),
    matches: z.array(httpMatch).max(64).default([ANYTHING]).meta(atomic),
    filters: httpFilters().exactOptional(),
    backendRefs: z
      .array(backendRef({ filters: httpFilters().exactOptional() }))
      .max(16)
      .meta(atomic)
      .exactOptional(),
    timeouts: z
      .strictObject({ request: duration().exactOptional(), backendRequest: duration().exactOptional() })
      .meta(
        celRules({
          rule: "!has(self.request) || !has(self.backendRequest) || duration(self.request) == duration('0s') || duration(self.backendRequest) <= duration(self.request)",
          message: 'backendRequest is longer than request',
        }),
      )
      .exactOptional(),
    retry: z
      .strictObject({
        codes: z
          .array(z.number().int().min(400).max(599))
          .max(200)
          .meta({ 'x-kubernetes-list-type': 'set' })
          .exactOptional(),
        attempts: z.number().int().min(1).exactOptional(),
        backoff: duration().exactOptional(),
      })
      .exactOptional(),
    sessionPersistence: sessionPersistence().exactOptional(),
  })
  .meta(
    celRules(
      {
        rule: "!has(self.filters) || !has(self.backendRefs) || size(self.backendRefs) == 0 || !self.filters.exists(f, f.type == 'RequestRedirect')",
        message: 'RequestRedirect leaves nothing to backends',
      },
      {
        rule: `!has(self.filters) || !${REPLACES_PREFIX('self.filters')} || ${ONE_PREFIX}`,
        message: 'ReplacePrefixMatch needs one match, and that by PathPrefix',
      },
      {
        rule: `!has(self.backendRefs) || !self.backendRefs.exists(b, has(b.filters) && ${REPLACES_PREFIX('b.filters')}) || ${ONE_PREFIX}`,
        message: 'ReplacePrefixMatch needs one match, and that by PathPrefix',
      },
    ),
  )

export const httpRouteSpec = z.strictObject({
  ...common(),
  hostnames: hostnames().exactOptional(),
  rules: z
    .array(httpRule)
    .min(1)
    .max(16)
    .default([{ matches: [ANYTHING] }])
    .meta({ ...atomic, ...uniqueNames }),
})

const CALL_NAME = { service: /^[A-Za-z0-9_.-]+$/, method: /^[A-Za-z0-9_-]+$/ }

const grpcMatch = z.strictObject({
  method: z
    .strictObject({
      type: z.enum(['Exact', 'RegularExpression']).default('Exact'),
      service: z.string().max(1_024).exactOptional(),
      method: z.string().max(1_024).exactOptional(),
    })
    .meta(
      celRules(
        { rule: 'has(self.service) || has(self.method)', message: 'names neither service nor method' },
        ...(['service', 'method'] as const).map((field) => ({
          rule: `!has(self.${field}) || (has(self.type) && self.type == 'RegularExpression') || self.${field}.matches('${CALL_NAME[field].source}')`,
          message: `${field} has characters that no name has`,
        })),
      ),
    )
    .exactOptional(),
  headers: valueMatches(4_096).exactOptional(),
})

export const grpcRouteSpec = z.strictObject({
  ...common(),
  hostnames: hostnames().exactOptional(),
  rules: z
    .array(
      z.strictObject({
        name: sectionName().exactOptional(),
        matches: z.array(grpcMatch).max(64).meta(atomic).exactOptional(),
        filters: grpcFilters().exactOptional(),
        backendRefs: z
          .array(backendRef({ filters: grpcFilters().exactOptional() }))
          .max(16)
          .meta(atomic)
          .exactOptional(),
        sessionPersistence: sessionPersistence().exactOptional(),
      }),
    )
    .max(16)
    .meta({ ...atomic, ...uniqueNames })
    .exactOptional(),
})

/** Bytes are only shared out. */
const streamRules = () =>
  z
    .array(
      z.strictObject({
        name: sectionName().exactOptional(),
        backendRefs: z.array(backendRef({})).min(1).max(16).meta(atomic),
      }),
    )
    .min(1)
    .max(1)
    .meta(atomic)

export const tlsRouteSpec = z.strictObject({
  ...common(),
  hostnames: z
    .array(hostname())
    .min(1)
    .max(1_024)
    .meta({ ...atomic, ...celRules({ rule: 'self.all(h, !isIP(h))', message: 'an address is no server name' }) }),
  rules: streamRules(),
})

export const tcpRouteSpec = z.strictObject({ ...common(), rules: streamRules() })

export const HTTP_ROUTE = gatewayKind({
  resource: HTTP_ROUTES,
  description: 'Where requests go by host, path, headers, query and method, and what is done to them on the way.',
  spec: httpRouteSpec,
  status: routeStatus(),
  versions: ['v1', 'v1beta1'],
  columns: [HOSTNAMES, AGE],
})

export const GRPC_ROUTE = gatewayKind({
  resource: GRPC_ROUTES,
  description: 'Where gRPC calls go by service, method and headers.',
  spec: grpcRouteSpec,
  status: routeStatus(),
  columns: [HOSTNAMES, AGE],
})

export const TLS_ROUTE = gatewayKind({
  resource: TLS_ROUTES,
  description: 'Where TLS connections go by the server name that the client asks for.',
  spec: tlsRouteSpec,
  status: routeStatus(),
})

export const TCP_ROUTE = gatewayKind({
  resource: TCP_ROUTES,
  description: 'Where the connections of a port go.',
  spec: tcpRouteSpec,
  status: routeStatus(),
})
