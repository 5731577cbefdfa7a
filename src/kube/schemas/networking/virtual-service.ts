/** VirtualService (networking.istio.io): how requests and connections to a host are led, and what is done to them. */
import { z } from 'zod'
import { VIRTUAL_SERVICES } from '../../kinds/networking.ts'
import { AGE_COLUMN, istioKind } from '../istio.ts'
import {
  NETWORKING_VERSIONS,
  destination,
  duration,
  exportTo,
  int32,
  percent,
  portNumber,
  stringMap,
  stringMatch,
  uint32,
} from './common.ts'

const headerOperations = z.strictObject({
  set: stringMap().exactOptional(),
  add: stringMap().exactOptional(),
  remove: z.array(z.string()).max(64).exactOptional(),
})
const headers = z.strictObject({
  request: headerOperations.exactOptional(),
  response: headerOperations.exactOptional(),
})

const httpMatch = z.strictObject({
  name: z.string().exactOptional(),
  uri: stringMatch().exactOptional(),
  scheme: stringMatch().exactOptional(),
  method: stringMatch().exactOptional(),
  authority: stringMatch().exactOptional(),
  headers: z.record(z.string(), stringMatch()).exactOptional(),
  withoutHeaders: z.record(z.string(), stringMatch()).exactOptional(),
  queryParams: z.record(z.string(), stringMatch()).exactOptional(),
  port: portNumber().exactOptional(),
  sourceLabels: stringMap().exactOptional(),
  sourceNamespace: z.string().exactOptional(),
  gateways: z.array(z.string()).exactOptional(),
  ignoreUriCase: z.boolean().exactOptional(),
  statPrefix: z.string().exactOptional(),
})

const httpDestination = z.strictObject({
  destination: destination(),
  weight: int32().exactOptional(),
  headers: headers.exactOptional(),
})

const redirect = z.strictObject({
  uri: z.string().exactOptional(),
  prefixRewrite: z.string().exactOptional(),
  authority: z.string().exactOptional(),
  scheme: z.string().exactOptional(),
  port: portNumber().exactOptional(),
  derivePort: z.enum(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']).exactOptional(),
  redirectCode: uint32().exactOptional(),
})

const directResponse = z.strictObject({
  status: uint32(),
  body: z.strictObject({ string: z.string().exactOptional(), bytes: z.string().exactOptional() }).exactOptional(),
})

const rewrite = z.strictObject({
  uri: z.string().exactOptional(),
  authority: z.string().exactOptional(),
  uriRegexRewrite: z
    .strictObject({ match: z.string().max(1024).exactOptional(), rewrite: z.string().exactOptional() })
    .exactOptional(),
})

const retries = z.strictObject({
  attempts: int32().exactOptional(),
  perTryTimeout: duration().exactOptional(),
  retryOn: z.string().exactOptional(),
  retryRemoteLocalities: z.boolean().exactOptional(),
  retryIgnorePreviousHosts: z.boolean().exactOptional(),
  backoff: duration().exactOptional(),
})

const fault = z.strictObject({
  delay: z
    .strictObject({
      percent: int32().exactOptional().describe('Deprecated; counts where percentage is absent.'),
      percentage: percent().exactOptional(),
      fixedDelay: duration().exactOptional(),
      exponentialDelay: duration().exactOptional(),
    })
    .exactOptional(),
  abort: z
    .strictObject({
      percentage: percent().exactOptional(),
      httpStatus: int32().exactOptional(),
      grpcStatus: z.string().exactOptional(),
      http2Error: z.string().exactOptional(),
    })
    .exactOptional(),
})

const corsPolicy = z.strictObject({
  allowOrigin: z.array(z.string()).exactOptional().describe('Deprecated; exact origins.'),
  allowOrigins: z.array(stringMatch()).exactOptional(),
  allowMethods: z.array(z.string()).exactOptional(),
  allowHeaders: z.array(z.string()).exactOptional(),
  exposeHeaders: z.array(z.string()).exactOptional(),
  maxAge: duration().exactOptional(),
  allowCredentials: z.boolean().exactOptional(),
  unmatchedPreflights: z.enum(['UNSPECIFIED', 'FORWARD', 'IGNORE']).exactOptional(),
})

const httpRoute = z.strictObject({
  name: z.string().exactOptional(),
  match: z.array(httpMatch).max(1_024).exactOptional(),
  route: z.array(httpDestination).max(256).exactOptional(),
  redirect: redirect.exactOptional(),
  directResponse: directResponse.exactOptional(),
  delegate: z.strictObject({ name: z.string().exactOptional(), namespace: z.string().exactOptional() }).exactOptional(),
  rewrite: rewrite.exactOptional(),
  timeout: duration().exactOptional(),
  retries: retries.exactOptional(),
  fault: fault.exactOptional(),
  mirror: destination().exactOptional(),
  mirrors: z
    .array(z.strictObject({ destination: destination(), percentage: percent().exactOptional() }))
    .max(16)
    .exactOptional(),
  mirrorPercent: uint32().exactOptional().describe('Deprecated; counts where mirrorPercentage is absent.'),
  mirrorPercentage: percent().exactOptional(),
  corsPolicy: corsPolicy.exactOptional(),
  headers: headers.exactOptional(),
})

const routeDestination = z.strictObject({ destination: destination(), weight: int32().exactOptional() })

/** What tells connections apart, beside the server name. */
const connectionMatch = {
  destinationSubnets: z.array(z.string()).exactOptional(),
  port: portNumber().exactOptional(),
  sourceLabels: stringMap().exactOptional(),
  sourceNamespace: z.string().exactOptional(),
  gateways: z.array(z.string()).exactOptional(),
}

const tlsRoute = z.strictObject({
  match: z.array(z.strictObject({ sniHosts: z.array(z.string()), ...connectionMatch })).max(1_024),
  route: z.array(routeDestination).max(256).exactOptional(),
})

const tcpRoute = z.strictObject({
  match: z
    .array(z.strictObject({ ...connectionMatch, sourceSubnet: z.string().exactOptional() }))
    .max(1_024)
    .exactOptional(),
  route: z.array(routeDestination).max(256).exactOptional(),
})

export const virtualServiceSpec = z.strictObject({
  hosts: z
    .array(z.string())
    .max(1_024)
    .exactOptional()
    .describe('Names as applications call them; without any this is a part that others delegate to.'),
  gateways: z.array(z.string()).max(256).exactOptional().describe('`mesh` are the sidecars; absent: those alone.'),
  http: z.array(httpRoute).max(4_096).exactOptional().describe('The first that matches counts.'),
  tls: z.array(tlsRoute).max(4_096).exactOptional(),
  tcp: z.array(tcpRoute).max(4_096).exactOptional(),
  exportTo: exportTo().exactOptional(),
})

export const VIRTUAL_SERVICE = istioKind({
  resource: VIRTUAL_SERVICES,
  description: 'Leads requests and connections to a host: where to, and what is done to them on the way.',
  spec: virtualServiceSpec,
  versions: NETWORKING_VERSIONS,
  shortNames: ['vs'],
  columns: [
    { name: 'Gateways', type: 'string', jsonPath: '.spec.gateways' },
    { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts' },
    AGE_COLUMN,
  ],
})
