/** GatewayClass, Gateway and ListenerSet: who makes gateways, and what each listens for. */
import { z } from 'zod'
import { GATEWAY_CLASSES, GATEWAYS, LISTENER_SETS } from '../../kinds/gateway-api.ts'
import { conditions } from '../common.ts'
import { celRules } from '../definition.ts'
import {
  AGE,
  atomic,
  controllerName,
  GATEWAY_GROUP,
  gatewayKind,
  groupName,
  hostname,
  kindName,
  localRef,
  mapBy,
  namespaceName,
  objectName,
  portNumber,
  secretRef,
  sectionName,
} from './common.ts'

/** What stands there before a controller has looked: the moment is the one that says "never". */
const waiting = (...types: readonly string[]) =>
  types.map((type) => ({
    type,
    status: 'Unknown' as const,
    reason: 'Pending',
    message: 'Waiting for controller',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  }))

export const gatewayClassSpec = z.strictObject({
  controllerName: controllerName().meta(celRules({ rule: 'self == oldSelf', message: 'stays as it is' })),
  parametersRef: z
    .strictObject({
      group: groupName(),
      kind: kindName(),
      name: objectName(),
      namespace: namespaceName().exactOptional(),
    })
    .exactOptional(),
  description: z.string().max(64).exactOptional(),
})

const selector = () =>
  z.strictObject({
    matchLabels: z.record(z.string(), z.string()).exactOptional(),
    matchExpressions: z
      .array(
        z.strictObject({
          key: z.string(),
          operator: z.string(),
          values: z.array(z.string()).meta(atomic).exactOptional(),
        }),
      )
      .meta(atomic)
      .exactOptional(),
  })

const allowedRoutes = () =>
  z.strictObject({
    namespaces: z
      .strictObject({ from: z.enum(['All', 'Selector', 'Same']).default('Same'), selector: selector().exactOptional() })
      .default({ from: 'Same' }),
    kinds: z
      .array(z.strictObject({ group: groupName().default(GATEWAY_GROUP), kind: kindName() }))
      .max(8)
      .meta(atomic)
      .exactOptional(),
  })

const listenerFields = () => ({
  name: sectionName(),
  hostname: hostname().exactOptional(),
  protocol: z.string().min(1).max(255),
  tls: z
    .strictObject({
      mode: z.enum(['Terminate', 'Passthrough']).default('Terminate'),
      certificateRefs: z.array(secretRef()).max(64).meta(atomic).exactOptional(),
      options: z.record(z.string(), z.string().max(4_096)).exactOptional(),
    })
    .meta(
      celRules({
        rule: "(has(self.mode) && self.mode == 'Passthrough') || (has(self.certificateRefs) && size(self.certificateRefs) > 0) || (has(self.options) && size(self.options) > 0)",
        message: 'Terminate needs a certificate',
      }),
    )
    .exactOptional(),
  allowedRoutes: allowedRoutes().default({ namespaces: { from: 'Same' } }),
})

const LISTENER_RULES = celRules(
  {
    rule: "self.all(l, !(l.protocol in ['HTTP', 'TCP', 'UDP']) || !has(l.tls))",
    message: 'tls is not for HTTP, TCP and UDP',
  },
  {
    rule: "self.all(l, l.protocol != 'HTTPS' || !has(l.tls) || !has(l.tls.mode) || l.tls.mode == 'Terminate')",
    message: 'HTTPS is terminated',
  },
  { rule: "self.all(l, l.protocol != 'TLS' || has(l.tls))", message: 'TLS needs tls' },
  {
    rule: "self.all(l, !(l.protocol in ['TCP', 'UDP']) || !has(l.hostname))",
    message: 'TCP and UDP know no host names',
  },
  {
    rule: 'self.all(l, self.exists_one(k, k.name == l.name))',
    message: 'gives two listeners one name',
  },
  {
    rule: "self.all(l, self.exists_one(k, k.port == l.port && k.protocol == l.protocol && (has(k.hostname) ? k.hostname : '') == (has(l.hostname) ? l.hostname : '')))",
    message: 'has two listeners for one port, protocol and host name',
  },
)

const listeners = () =>
  z
    .array(z.strictObject({ ...listenerFields(), port: portNumber() }))
    .min(1)
    .max(64)
    .meta({ ...mapBy('name'), ...LISTENER_RULES })

const validation = () =>
  z.strictObject({
    caCertificateRefs: z
      .array(
        z.strictObject({
          group: groupName(),
          kind: kindName(),
          name: objectName(),
          namespace: namespaceName().exactOptional(),
        }),
      )
      .min(1)
      .max(16)
      .meta(atomic),
    mode: z.enum(['AllowValidOnly', 'AllowInsecureFallback']).default('AllowValidOnly'),
  })
const clientTls = () => z.strictObject({ validation: validation().exactOptional() })

export const gatewaySpec = z.strictObject({
  gatewayClassName: objectName(),
  listeners: listeners(),
  addresses: z
    .array(
      z.strictObject({
        type: z.string().min(1).max(253).default('IPAddress'),
        value: z.string().max(253).exactOptional(),
      }),
    )
    .max(16)
    .meta(atomic)
    .exactOptional(),
  infrastructure: z
    .strictObject({
      labels: z.record(z.string(), z.string().max(63)).exactOptional(),
      annotations: z.record(z.string(), z.string().max(4_096)).exactOptional(),
      parametersRef: localRef().exactOptional(),
    })
    .exactOptional(),
  allowedListeners: z
    .strictObject({
      namespaces: z
        .strictObject({
          from: z.enum(['All', 'Selector', 'Same', 'None']).default('None'),
          selector: selector().exactOptional(),
        })
        .default({ from: 'None' }),
    })
    .exactOptional(),
  tls: z
    .strictObject({
      backend: z.strictObject({ clientCertificateRef: secretRef().exactOptional() }).exactOptional(),
      frontend: z
        .strictObject({
          default: clientTls(),
          perPort: z
            .array(z.strictObject({ port: portNumber(), tls: clientTls() }))
            .max(64)
            .meta(mapBy('port'))
            .exactOptional(),
        })
        .exactOptional(),
    })
    .exactOptional(),
  defaultScope: z.enum(['All', 'None']).exactOptional(),
})

const listenerStatus = () =>
  z
    .array(
      z.object({
        name: sectionName(),
        supportedKinds: z
          .array(z.object({ group: groupName().default(GATEWAY_GROUP), kind: kindName() }))
          .max(8)
          .meta(atomic)
          .exactOptional(),
        attachedRoutes: z.number().int(),
        conditions: conditions().max(8),
      }),
    )
    .max(64)
    .meta(mapBy('name'))

const gatewayStatus = z
  .object({
    addresses: z
      .array(z.object({ type: z.string().default('IPAddress'), value: z.string().min(1).max(253) }))
      .max(16)
      .meta(atomic)
      .exactOptional(),
    conditions: conditions().max(8).exactOptional(),
    listeners: listenerStatus().exactOptional(),
    attachedListenerSets: z.number().int().exactOptional(),
  })
  .default({ conditions: waiting('Accepted', 'Programmed') })

export const listenerSetSpec = z.strictObject({
  parentRef: z.strictObject({
    group: groupName().default(GATEWAY_GROUP),
    kind: kindName().default('Gateway'),
    name: objectName(),
    namespace: namespaceName().exactOptional(),
  }),
  listeners: listeners(),
})

export const GATEWAY_CLASS = gatewayKind({
  resource: GATEWAY_CLASSES,
  description: 'Gateways that one controller makes alike.',
  spec: gatewayClassSpec,
  status: z
    .object({
      conditions: conditions().max(8).exactOptional(),
      supportedFeatures: z
        .array(z.object({ name: z.string() }))
        .max(64)
        .meta(mapBy('name'))
        .exactOptional(),
    })
    .default({ conditions: waiting('Accepted') }),
  versions: ['v1', 'v1beta1'],
  shortNames: ['gc'],
  columns: [
    { name: 'Controller', type: 'string', jsonPath: '.spec.controllerName' },
    { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
    AGE,
    { name: 'Description', type: 'string', jsonPath: '.spec.description', priority: 1 },
  ],
})

export const GATEWAY = gatewayKind({
  resource: GATEWAYS,
  description: 'Listeners at the edge of the mesh, and the proxies that serve them.',
  spec: gatewaySpec,
  status: gatewayStatus,
  versions: ['v1', 'v1beta1'],
  shortNames: ['gtw'],
  columns: [
    { name: 'Class', type: 'string', jsonPath: '.spec.gatewayClassName' },
    { name: 'Address', type: 'string', jsonPath: '.status.addresses[*].value' },
    { name: 'Programmed', type: 'string', jsonPath: '.status.conditions[?(@.type=="Programmed")].status' },
    AGE,
  ],
})

export const LISTENER_SET = gatewayKind({
  resource: LISTENER_SETS,
  description: 'More listeners for a Gateway, by somebody else.',
  support: 'stored',
  spec: listenerSetSpec,
  status: z
    .object({ conditions: conditions().max(8).exactOptional(), listeners: listenerStatus().exactOptional() })
    .default({ conditions: waiting('Accepted', 'Programmed') }),
  shortNames: ['lset'],
  columns: [
    { name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
    { name: 'Programmed', type: 'string', jsonPath: '.status.conditions[?(@.type=="Programmed")].status' },
    AGE,
  ],
})
