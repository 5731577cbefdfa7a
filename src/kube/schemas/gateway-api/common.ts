/**
 * What the kinds of the Gateway API share: references, conditions, bounds, and how their CRDs are marked. Fields and bounds
 * are those of version 1.6 with its experimental channel, so that objects written for either are understood.
 */
import { z } from 'zod'
import type { KubeObject } from '../../object.ts'
import { conditions } from '../common.ts'
import { celRules, type KindDefinition } from '../definition.ts'

export const GATEWAY_API_VERSION = 'v1.6.1'
/** Suites and other controllers read these two; the first is what any API server asks of a group under k8s.io. */
const ANNOTATIONS = {
  'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api/pull/4530',
  'gateway.networking.k8s.io/bundle-version': GATEWAY_API_VERSION,
  // Retries and session persistence are fields of that channel.
  'gateway.networking.k8s.io/channel': 'experimental',
} as const

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const NAME = `${LABEL}(\\.${LABEL})*`

export const groupName = () =>
  z
    .string()
    .max(253)
    .regex(new RegExp(`^$|^${NAME}$`))
export const kindName = () =>
  z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/)
export const objectName = () => z.string().min(1).max(253)
export const namespaceName = () =>
  z
    .string()
    .min(1)
    .max(63)
    .regex(new RegExp(`^${LABEL}$`))
export const sectionName = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(new RegExp(`^${NAME}$`))
export const portNumber = () => z.number().int().min(1).max(65_535)
export const preciseHostname = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(new RegExp(`^${NAME}$`))
export const hostname = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(new RegExp(`^(\\*\\.)?${NAME}$`))
export const controllerName = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(new RegExp(`^${NAME}\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$`))
/** GEP-2257. */
export const duration = () =>
  z
    .string()
    .max(28)
    .regex(/^([0-9]{1,5}(h|m|s|ms)){1,4}$/)

export const GATEWAY_GROUP = 'gateway.networking.k8s.io'

export const parentRef = () =>
  z.strictObject({
    group: groupName().default(GATEWAY_GROUP).describe('Empty for Services: it has to be written out.'),
    kind: kindName().default('Gateway'),
    namespace: namespaceName().exactOptional(),
    name: objectName(),
    sectionName: sectionName().exactOptional().describe('A listener of a Gateway, a port of a Service.'),
    port: portNumber().exactOptional(),
  })

/** The same parent twice has to say which parts of it are meant, and no part twice. */
export const parentRefs = () =>
  z
    .array(parentRef())
    .max(32)
    .meta({
      'x-kubernetes-list-type': 'atomic',
      ...celRules({
        rule: "self.all(p, self.exists_one(q, (has(p.group) ? p.group : '') == (has(q.group) ? q.group : '') && (has(p.kind) ? p.kind : '') == (has(q.kind) ? q.kind : '') && p.name == q.name && (has(p.__namespace__) ? p.__namespace__ : '') == (has(q.__namespace__) ? q.__namespace__ : '') && (has(p.sectionName) ? p.sectionName : '') == (has(q.sectionName) ? q.sectionName : '') && (has(p.port) ? p.port : 0) == (has(q.port) ? q.port : 0)))",
        message: 'names one parent, or one part of it, twice',
      }),
    })

const backendFields = () => ({
  group: groupName().default(''),
  kind: kindName().default('Service'),
  name: objectName(),
  namespace: namespaceName().exactOptional(),
  port: portNumber().exactOptional(),
})

const NEEDS_PORT = celRules({
  rule: "has(self.port) || (has(self.group) && self.group != '') || (has(self.kind) && self.kind != 'Service')",
  message: 'a Service as a backend needs a port',
})

export const backendObjectRef = () => z.strictObject(backendFields()).meta(NEEDS_PORT)

/** With what a kind of route lets a backend say beside it. */
export const backendRef = <Shape extends z.ZodRawShape>(more: Shape) =>
  z
    .strictObject({ ...backendFields(), weight: z.number().int().min(0).max(1_000_000).default(1), ...more })
    .meta(NEEDS_PORT)

export const secretRef = () =>
  z.strictObject({
    group: groupName().default(''),
    kind: kindName().default('Secret'),
    name: objectName(),
    namespace: namespaceName().exactOptional(),
  })

export const localRef = () => z.strictObject({ group: groupName(), kind: kindName(), name: objectName() })

export const atomic = { 'x-kubernetes-list-type': 'atomic' } as const
export const mapBy = (...keys: readonly string[]) => ({
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': [...keys],
})

export const uniqueNames = celRules({
  rule: 'self.all(r, !has(r.name) || self.exists_one(s, has(s.name) && s.name == r.name))',
  message: 'gives two rules one name',
})

/** What the fields of both channels are for; no default Gateways here. */
export const useDefaultGateways = () => z.enum(['All', 'None'])

export const routeStatus = () =>
  z.object({
    parents: z
      .array(
        z.object({
          parentRef: z.object({
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
      .max(32)
      .meta(atomic),
  })

type Parts<T extends KubeObject> = Pick<KindDefinition<T>, 'resource' | 'description' | 'spec' | 'status'> &
  Partial<KindDefinition<T>>

export const AGE = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' } as const
export const HOSTNAMES = { name: 'Hostnames', type: 'string', jsonPath: '.spec.hostnames' } as const

export function gatewayKind<T extends KubeObject>(parts: Parts<T>): KindDefinition<T> {
  return { shortNames: [], columns: [AGE], categories: ['gateway-api'], annotations: ANNOTATIONS, ...parts }
}
