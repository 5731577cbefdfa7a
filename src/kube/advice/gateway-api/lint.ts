/**
 * Routes among each other and with what they name: parents and backends that are not there, VirtualServices that a
 * route overrules, kinds of routes that meet at one port.
 */
import { GRPC_ROUTES, HTTP_ROUTES, TCP_ROUTES, TLS_ROUTES } from '../../kinds/gateway-api.ts'
import { VIRTUAL_SERVICES } from '../../kinds/networking.ts'
import { SERVICE_IMPORTS, SERVICES } from '../../kinds.ts'
import type { KubeObject, Resource } from '../../object.ts'
import { about, type FlawOf, warning } from '../finding.ts'
import type { ObjectSet } from '../objects.ts'
import { fullHost } from '../traffic/hosts.ts'

/** What the kinds of routes have in common; the first that is there rules a port alone. */
interface AnyRoute extends KubeObject {
  readonly spec: {
    readonly parentRefs?: readonly Reference[]
    readonly rules?: readonly { readonly backendRefs?: readonly Reference[] }[] | undefined
  }
}

interface Reference {
  readonly group?: string | undefined
  readonly kind?: string | undefined
  readonly namespace?: string
  readonly name: string
  readonly port?: number
  readonly sectionName?: string
}

const KINDS: readonly Resource<AnyRoute>[] = [GRPC_ROUTES, HTTP_ROUTES, TLS_ROUTES, TCP_ROUTES] as const

const routesOf = (objects: ObjectSet): readonly AnyRoute[] => KINDS.flatMap((kind) => objects.list(kind))

export function* missingReferences(objects: ObjectSet): Iterable<FlawOf> {
  for (const route of routesOf(objects)) {
    const own = route.metadata.namespace ?? ''
    for (const [at, parent] of (route.spec.parentRefs ?? []).entries()) {
      const path = `spec.parentRefs[${at}]`
      if (parent.group === '' || parent.group === 'multicluster.x-k8s.io') yield* missing(route, parent, path)
    }
    for (const [rule, { backendRefs = [] }] of (route.spec.rules ?? []).entries()) {
      for (const [at, backend] of backendRefs.entries()) {
        yield* missing(route, backend, `spec.rules[${rule}].backendRefs[${at}]`)
      }
    }

    function* missing(of: AnyRoute, reference: Reference, path: string): Iterable<FlawOf> {
      const { group = '', kind = 'Service', namespace = own, name, port } = reference
      const resource = resourceOf(group, kind)
      if (resource === undefined || !objects.knows(resource, namespace)) return
      const found = objects.get(resource, namespace, name)
      if (found === undefined) {
        const message = `there is no ${kind} ${namespace}/${name}`
        yield about(of, warning({ code: 'REFERENCE_UNKNOWN', field: path, message }))
      } else if (port !== undefined && !(found.spec.ports ?? []).some((one) => one.port === port)) {
        const message = `${kind} ${namespace}/${name} has no port ${port}`
        yield about(of, warning({ code: 'REFERENCE_UNKNOWN', field: `${path}.port`, message }))
      }
    }
  }
}

type WithPorts = KubeObject & { spec: { ports?: { port: number }[] } }

function resourceOf(group: string, kind: string): Resource<WithPorts> | undefined {
  if (group === '' && kind === 'Service') return SERVICES
  return group === 'multicluster.x-k8s.io' && kind === 'ServiceImport' ? SERVICE_IMPORTS : undefined
}

/** `web.shop.svc.cluster.local`, for Services and imports that a route has as its parent. */
function hostsOf(route: AnyRoute): readonly { host: string; field: string; port: string }[] {
  const own = route.metadata.namespace ?? ''
  return (route.spec.parentRefs ?? []).flatMap(({ group, kind = '', namespace = own, name, port, sectionName }, at) => {
    const resource = resourceOf(group ?? 'gateway.networking.k8s.io', kind)
    if (resource === undefined) return []
    const domain = kind === 'Service' ? 'cluster.local' : 'clusterset.local'
    const host = `${name}.${namespace}.svc.${domain}`
    return [{ host, field: `spec.parentRefs[${at}]`, port: String(port ?? sectionName ?? '') }]
  })
}

/** In sidecars a Service with a route of this API is ruled by such routes alone. */
export function* overruled(objects: ObjectSet): Iterable<FlawOf> {
  const ruled = new Map<string, AnyRoute>()
  for (const route of routesOf(objects)) for (const { host } of hostsOf(route)) ruled.set(host, route)
  if (ruled.size === 0) return
  for (const service of objects.list(VIRTUAL_SERVICES)) {
    const { hosts = [], gateways = ['mesh'] } = service.spec ?? {}
    if (!gateways.includes('mesh')) continue
    for (const [at, host] of hosts.entries()) {
      const route = ruled.get(fullHost(host, service.metadata.namespace ?? ''))
      if (route === undefined) continue
      const message = `${route.kind} ${nameOf(route)} rules it in sidecars, this object does not`
      yield about(service, warning({ code: 'ROUTE_OVERRULES', field: `spec.hosts[${at}]`, message }))
    }
  }
}

/** GRPCRoute before HTTPRoute before TLSRoute before TCPRoute, for one port of a Service. */
export function* conflicting(objects: ObjectSet): Iterable<FlawOf> {
  const first = new Map<string, AnyRoute>()
  for (const route of routesOf(objects)) {
    for (const { host, port, field } of hostsOf(route)) {
      const key = `${host} ${port}`
      const winner = first.get(key)
      if (winner === undefined) first.set(key, route)
      else if (winner.kind !== route.kind) {
        const message = `${winner.kind} ${nameOf(winner)} rules the same port of ${host}`
        yield about(route, warning({ code: 'ROUTE_CONFLICT', field, message }))
      }
    }
  }
}

const nameOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name ?? ''}`
