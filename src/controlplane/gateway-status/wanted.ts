/**
 * The status that each object of the Gateway API should have, from one snapshot: what a replica that leads writes. Pure.
 */
import type { Verdict } from '../../kube/conditions.ts'
import { GATEWAY_CLASSES, GRPC_ROUTES, HTTP_ROUTES, TCP_ROUTES, TLS_ROUTES } from '../../kube/kinds/gateway-api.ts'
import type { KubeObject, Resource } from '../../kube/object.ts'
import { GATEWAY_CONTROLLER } from '../../model/names.ts'
import type { Snapshot } from '../observe/facts.ts'
import { allRoutes, attachmentsOf } from '../translate/gateway-api/attachments.ts'
import { meshVerdicts, type ParentVerdict } from '../translate/gateway-api/route-verdicts.ts'
import { listHosts } from '../translate/hosts.ts'
import { SUPPORTED_FEATURES } from './features.ts'

export interface Wanted {
  readonly resource: Resource<KubeObject>
  /** Empty for objects of the cluster. */
  readonly namespace: string
  readonly name: string
  readonly says: RouteWords | ClassWords
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

const RESOURCES = {
  HTTPRoute: HTTP_ROUTES,
  GRPCRoute: GRPC_ROUTES,
  TLSRoute: TLS_ROUTES,
  TCPRoute: TCP_ROUTES,
} as const

export type WantedTables = Pick<Snapshot, 'mesh' | 'services' | 'exports' | 'imports' | 'networking' | 'gatewayApi'>

export function wantedStatus(tables: WantedTables): readonly Wanted[] {
  const { gatewayApi, mesh } = tables
  const { domain } = mesh
  const hosts = new Map(listHosts(tables).map((host) => [host.host, host]))
  const index = attachmentsOf(gatewayApi, domain)
  const routes = allRoutes(gatewayApi).map((of): Wanted => {
    const { namespace, name } = of.route
    const parents = meshVerdicts(of, { index, hosts, domain })
    return { resource: RESOURCES[of.kind], namespace, name, says: { kind: 'route', parents } }
  })
  return [...routes, ...classes(gatewayApi)]
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
