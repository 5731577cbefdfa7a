/** ReferenceGrant: who may point into this namespace. BackendTLSPolicy: TLS of the application's own towards a Service. */
import { z } from 'zod'
import { BACKEND_TLS_POLICIES, REFERENCE_GRANTS } from '../../kinds/gateway-api.ts'
import { conditions } from '../common.ts'
import { celRules } from '../definition.ts'
import {
  atomic,
  controllerName,
  GATEWAY_GROUP,
  gatewayKind,
  groupName,
  hostname,
  kindName,
  localRef,
  namespaceName,
  objectName,
  portNumber,
  preciseHostname,
  sectionName,
} from './common.ts'

export const referenceGrantSpec = z.strictObject({
  from: z
    .array(z.strictObject({ group: groupName(), kind: kindName(), namespace: namespaceName() }))
    .min(1)
    .max(16)
    .meta(atomic),
  to: z
    .array(z.strictObject({ group: groupName(), kind: kindName(), name: objectName().exactOptional() }))
    .min(1)
    .max(16)
    .meta(atomic),
})

const subjectAltName = z
  .strictObject({
    type: z.enum(['Hostname', 'URI']),
    hostname: hostname().exactOptional(),
    uri: z.string().min(1).max(253).exactOptional(),
  })
  .meta(
    celRules(
      { rule: "(self.type == 'Hostname') == has(self.hostname)", message: 'type and field differ' },
      { rule: "(self.type == 'URI') == has(self.uri)", message: 'type and field differ' },
    ),
  )

export const backendTlsPolicySpec = z.strictObject({
  targetRefs: z
    .array(
      z.strictObject({
        group: groupName(),
        kind: kindName(),
        name: objectName(),
        sectionName: sectionName().exactOptional().describe('A port of the Service.'),
      }),
    )
    .min(1)
    .max(16)
    .meta({
      ...atomic,
      ...celRules({
        rule: "self.all(p, self.exists_one(q, p.group == q.group && p.kind == q.kind && p.name == q.name && (has(p.sectionName) ? p.sectionName : '') == (has(q.sectionName) ? q.sectionName : '')))",
        message: 'names one target twice',
      }),
    }),
  validation: z
    .strictObject({
      caCertificateRefs: z.array(localRef()).max(8).meta(atomic).exactOptional(),
      wellKnownCACertificates: z.string().min(1).max(253).exactOptional(),
      hostname: preciseHostname(),
      subjectAltNames: z.array(subjectAltName).max(5).meta(atomic).exactOptional(),
    })
    .meta(
      celRules({
        rule: '(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0) != has(self.wellKnownCACertificates)',
        message: 'needs caCertificateRefs or wellKnownCACertificates, and not both',
      }),
    ),
  options: z.record(z.string(), z.string().max(4_096)).exactOptional(),
})

const ancestors = z
  .array(
    z.object({
      ancestorRef: z.object({
        group: groupName().default(GATEWAY_GROUP),
        kind: kindName().default('Gateway'),
        namespace: namespaceName().exactOptional(),
        name: objectName(),
        sectionName: sectionName().exactOptional(),
        port: portNumber().exactOptional(),
      }),
      controllerName: controllerName(),
      conditions: conditions().max(8),
    }),
  )
  .max(16)
  .meta(atomic)

export const REFERENCE_GRANT = gatewayKind({
  resource: REFERENCE_GRANTS,
  description: 'Lets kinds of other namespaces point at kinds of this one.',
  spec: referenceGrantSpec,
  status: z.object({}),
  versions: ['v1', 'v1beta1'],
  storedVersion: 'v1beta1',
  shortNames: ['refgrant'],
})

export const BACKEND_TLS_POLICY = gatewayKind({
  resource: BACKEND_TLS_POLICIES,
  description: "TLS of a Service's own, as its callers have to speak it.",
  support: 'stored',
  spec: backendTlsPolicySpec,
  status: z.object({ ancestors }),
  shortNames: ['btlspolicy'],
})
