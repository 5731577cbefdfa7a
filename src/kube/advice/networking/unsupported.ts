/**
 * Fields of Istio's networking kinds that nothing here acts on. The condition `Unsupported`, `isthmus validate` and
 * docs/reference/istio.md are made of this list; a field that is built leaves it.
 */
import type { UnsupportedField } from '../area.ts'

const field = (path: string, hint: string): UnsupportedField => ({ path, hint })

export const VIRTUAL_SERVICE_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.http[].match[].statPrefix', 'Name the route instead: access logs carry that name.'),
  field('spec.http[].fault.abort.grpcStatus', 'Use httpStatus: gRPC clients read 503 as UNAVAILABLE.'),
  field(
    'spec.http[].retries.retryRemoteLocalities',
    'A retry goes to another endpoint of the same place first, then elsewhere.',
  ),
  field('spec.tls[].match[].destinationSubnets', 'Match by sniHosts and port.'),
  field('spec.tcp[].match[].destinationSubnets', 'Match by the hosts of the VirtualService and by port.'),
  field('spec.tcp[].match[].sourceSubnet', 'Match by sourceLabels or sourceNamespace.'),
]

/** Wherever a policy may stand. */
const POLICIES = ['spec.trafficPolicy', 'spec.subsets[].trafficPolicy'] as const
const PORT_POLICIES = POLICIES.flatMap((path) => [path, `${path}.portLevelSettings[]`])

const COOKIE_HINT = 'The cookie is read, never set: let the application set it.'

export const DESTINATION_RULE_UNSUPPORTED: readonly UnsupportedField[] = [
  ...POLICIES.flatMap((path) => [
    field(`${path}.tunnel`, 'Connections go to endpoints directly.'),
    field(`${path}.proxyProtocol`, 'The PROXY protocol is spoken by generic clusters (isthmus proxy -c) only.'),
  ]),
  ...PORT_POLICIES.flatMap((path) => [
    field(`${path}.connectionPool.tcp.tcpKeepalive`, 'Connections of the mesh are kept alive by HTTP/2 PING.'),
    field(`${path}.loadBalancer.consistentHash.httpCookie.ttl`, COOKIE_HINT),
    field(`${path}.loadBalancer.consistentHash.httpCookie.path`, COOKIE_HINT),
    field(`${path}.loadBalancer.consistentHash.httpCookie.attributes`, COOKIE_HINT),
    field(`${path}.tls.caCrl`, 'Revoke by replacing caCertificates.'),
    field(`${path}.tls.credentialName`, 'Sidecars get no Secrets: mount the files and name them.'),
  ]),
]

export const SERVICE_ENTRY_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.endpoints[].network', 'All endpoints are reached directly.'),
]

export const WORKLOAD_ENTRY_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.network', 'All endpoints are reached directly.'),
]

export const SIDECAR_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.ingress', 'Ports are those of the Services that select the pod.'),
  field('spec.inboundConnectionPool', 'Limit callers by the DestinationRule of the service.'),
  field('spec.egress[].bind', 'Captured connections are known by their own addresses.'),
  field('spec.egress[].captureMode', 'Annotate the pod with isthmus.dev/capture.'),
  field('spec.outboundTrafficPolicy.egressProxy', 'Name the host by a ServiceEntry, and lead it by a VirtualService.'),
]

const FILES_HINT = 'Put certificate and key into a Secret and name it by credentialName.'

export const GATEWAY_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.servers[].bind', "Servers listen on the pod's own address."),
  field('spec.servers[].defaultEndpoint', 'Lead requests by a VirtualService.'),
  field('spec.servers[].tls.serverCertificate', FILES_HINT),
  field('spec.servers[].tls.privateKey', FILES_HINT),
  field('spec.servers[].tls.caCertificates', FILES_HINT),
  field('spec.servers[].tls.tlsCertificates', FILES_HINT),
  field('spec.servers[].tls.caCrl', 'Revoke by replacing the CA in the Secret.'),
]
