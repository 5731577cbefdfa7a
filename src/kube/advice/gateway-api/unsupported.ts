/**
 * Fields of the Gateway API's kinds that nothing here acts on. Conditions of routes, `isthmus validate` and
 * docs/reference/gateway-api.md are made of these lists; a field that is built leaves them.
 */
import type { UnsupportedField } from '../area.ts'

const field = (path: string, hint: string): UnsupportedField => ({ path, hint })

const DEFAULT_GATEWAYS = field('spec.useDefaultGateways', 'Name the Gateway in parentRefs.')
const SESSIONS = field(
  'spec.rules[].sessionPersistence',
  "A DestinationRule's consistentHash keeps clients at one endpoint, by a header or cookie of theirs.",
)
const EXTENSION = 'Requests of this rule are answered 500: no extension is known here.'

export const HTTP_ROUTE_UNSUPPORTED: readonly UnsupportedField[] = [
  DEFAULT_GATEWAYS,
  SESSIONS,
  field('spec.rules[].filters[].extensionRef', EXTENSION),
  field(
    'spec.rules[].filters[].externalAuth',
    'Requests of this rule are answered 500. Use an AuthorizationPolicy with action CUSTOM.',
  ),
  ...(['extensionRef', 'externalAuth', 'requestRedirect', 'urlRewrite', 'requestMirror', 'cors'] as const).map((name) =>
    field(
      `spec.rules[].backendRefs[].filters[].${name}`,
      'What would go to this backend is answered 500. Put the filter into the rule; a backend may change headers only.',
    ),
  ),
]

export const GRPC_ROUTE_UNSUPPORTED: readonly UnsupportedField[] = [
  DEFAULT_GATEWAYS,
  SESSIONS,
  field('spec.rules[].filters[].extensionRef', EXTENSION),
  ...(['extensionRef', 'requestMirror'] as const).map((name) =>
    field(
      `spec.rules[].backendRefs[].filters[].${name}`,
      'What would go to this backend is answered 500. Put the filter into the rule; a backend may change headers only.',
    ),
  ),
]

export const STREAM_ROUTE_UNSUPPORTED: readonly UnsupportedField[] = [DEFAULT_GATEWAYS]

export const GATEWAY_CLASS_UNSUPPORTED: readonly UnsupportedField[] = [
  field(
    'spec.parametersRef',
    'The class takes no parameters; labels and annotations stand in spec.infrastructure of a Gateway.',
  ),
]

export const GATEWAY_UNSUPPORTED: readonly UnsupportedField[] = [
  field('spec.addresses', 'Addresses are those of the Service in front of the gateway.'),
  field(
    'spec.infrastructure',
    'Gateways are not deployed by themselves yet: label the Deployment that serves this one.',
  ),
  field('spec.allowedListeners', 'ListenerSets have no effect here.'),
  field('spec.tls', 'Client certificates: an Istio Gateway with mode MUTUAL.'),
  field('spec.defaultScope', 'Name the Gateway in parentRefs.'),
  field('spec.listeners[].tls.options', 'No option is known here.'),
]
