/**
 * The status that each object of the Gateway API should have, from one snapshot: what a replica that leads writes. Pure.
 */
import type { Verdict } from '../../kube/conditions.ts'
import {
  BACKEND_TLS_POLICIES,
  type BackendTlsPolicySpec,
  GATEWAY_CLASSES,
  GATEWAYS,
  GRPC_ROUTES,
  HTTP_ROUTES,
  TCP_ROUTES,
  TLS_ROUTES,
} from '../../kube/kinds/gateway-api.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { GATEWAY_CONTROLLER } from '../../model/names.ts'
import type { Snapshot } from '../observe/facts.ts'
import { allRoutes, attachmentsOf } from '../translate/gateway-api/attachments.ts'
import {
  gatewayParentVerdicts,
  type GatewayVerdict,
  gatewayVerdicts,
} from '../translate/gateway-api/gateway-verdicts.ts'
import { meshVerdicts, type ParentVerdict } from '../translate/gateway-api/route-verdicts.ts'
import { listHosts } from '../translate/hosts.ts'
import { SUPPORTED_FEATURES } from './features.ts'

export interface Wanted {
  readonly resource: Resource<KubeObject>
  /** Empty for objects of the cluster. */
  readonly namespace: string
  readonly name: string
  readonly says: RouteWords | ClassWords | GatewayWords | PolicyWords
}

/** One entry for each parent of ours; entries of others stay. */
export interface RouteWords {
  readonly kind: 'route'
  readonly parents: readonly ParentVerdict[]
}

export interface ClassWords {
  readonly kind: 'class'
  readonly verdicts: readonly Verdict[]
  readonly features: readonly string[]
}

export interface GatewayWords {
  readonly kind: 'gateway'
  readonly verdict: Omit<GatewayVerdict, 'gateway'>
}

/** One entry for each target. */
export interface PolicyWords {
  readonly kind: 'policy'
  readonly targets: readonly PolicyTarget[]
  readonly verdicts: readonly Verdict[]
}
type PolicyTarget = BackendTlsPolicySpec['targetRefs'][number]

const RESOURCES = {
  HTTPRoute: HTTP_ROUTES,
  GRPCRoute: GRPC_ROUTES,
  TLSRoute: TLS_ROUTES,
  TCPRoute: TCP_ROUTES,
} as const

export type WantedTables = Pick<
  Snapshot,
  'mesh' | 'services' | 'exports' | 'imports' | 'networking' | 'gatewayApi' | 'namespaces' | 'pods'
>

export function wantedStatus(tables: WantedTables): readonly Wanted[] {
  const { gatewayApi, mesh } = tables
  const { domain } = mesh
  const hosts = new Map(listHosts(tables).map((host) => [host.host, host]))
  const index = attachmentsOf(gatewayApi, domain)
  const { namespaces, pods, services } = tables
  const gatewayTables = { facts: gatewayApi, namespaces, pods, services }
  const routes = allRoutes(gatewayApi).map((of): Wanted => {
    const { namespace, name } = of.route
    const parents = [
      ...meshVerdicts(of, { index, hosts, domain }),
      ...gatewayParentVerdicts(of, gatewayTables, { hosts, domain }),
    ]
    return { resource: RESOURCES[of.kind], namespace, name, says: { kind: 'route', parents } }
  })
  const gateways = gatewayVerdicts(gatewayTables).map(({ gateway: { namespace, name }, ...verdict }): Wanted => {
    return { resource: GATEWAYS, namespace, name, says: { kind: 'gateway', verdict } }
  })
  return [...routes, ...gateways, ...classes(gatewayApi), ...policies(gatewayApi)]
}

function classes({ gatewayClasses }: Snapshot['gatewayApi']): readonly Wanted[] {
  return [...gatewayClasses.values()].flatMap(({ name, spec }): Wanted[] => {
    if (spec.controllerName !== GATEWAY_CONTROLLER) return []
    const refused = spec.parametersRef !== undefined
    const accepted: Verdict = refused
      ? { type: 'Accepted', status: 'False', reason: 'InvalidParameters', message: 'the class takes no parameters' }
      : { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }
    const says: ClassWords = { kind: 'class', verdicts: [accepted], features: SUPPORTED_FEATURES }
    return [{ resource: GATEWAY_CLASSES, namespace: '', name, says }]
  })
}

/** Kept, and in force nowhere: who wrote one must not believe that it protects. */
function policies({ backendTlsPolicies }: Snapshot['gatewayApi']): readonly Wanted[] {
  const message = 'BackendTLSPolicy has no effect in this mesh; a DestinationRule with tls does what it asks for'
  const refused: Verdict = { type: 'Accepted', status: 'False', reason: 'Invalid', message }
  return [...backendTlsPolicies.values()].map(({ namespace, name, spec }): Wanted => {
    const says: PolicyWords = { kind: 'policy', targets: spec.targetRefs, verdicts: [refused] }
    return { resource: BACKEND_TLS_POLICIES, namespace, name, says }
  })
}
