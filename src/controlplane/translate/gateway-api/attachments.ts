/**
 * Which routes of the Gateway API speak for a port of a Service or ServiceImport, as one namespace of callers sees it
 * (GEP-1294, 1686): those of the caller's own namespace, and without any those of the service's. Levels are not mixed,
 * and of several kinds one applies. Pure.
 */
import type { ParentRef } from '../../../kube/kinds/gateway-api.ts'
import { CLUSTERSET_DOMAIN } from '../../../model/names.ts'
import { hostOf } from '../../../model/sni.ts'
import type {
  GatewayApiFacts,
  GrpcRouteFacts,
  HttpRouteFacts,
  TcpRouteFacts,
  TlsRouteFacts,
} from '../../observe/facts-gateway-api.ts'
import { byAge } from '../../observe/facts-networking.ts'
import type { PortFacts } from '../../observe/facts.ts'
import type { Host } from '../hosts.ts'

export type AnyRoute =
  | { readonly kind: 'GRPCRoute'; readonly route: GrpcRouteFacts }
  | { readonly kind: 'HTTPRoute'; readonly route: HttpRouteFacts }
  | { readonly kind: 'TLSRoute'; readonly route: TlsRouteFacts }
  | { readonly kind: 'TCPRoute'; readonly route: TcpRouteFacts }

/** Before those behind it, where they meet at one port. */
export const ROUTE_KINDS = ['GRPCRoute', 'HTTPRoute', 'TLSRoute', 'TCPRoute'] as const
export type RouteKind = (typeof ROUTE_KINDS)[number]

/** Of one kind; the oldest first. */
export type Attached =
  | { readonly kind: 'GRPCRoute'; readonly level: string; readonly routes: readonly GrpcRouteFacts[] }
  | { readonly kind: 'HTTPRoute'; readonly level: string; readonly routes: readonly HttpRouteFacts[] }
  | { readonly kind: 'TLSRoute'; readonly level: string; readonly routes: readonly TlsRouteFacts[] }
  | { readonly kind: 'TCPRoute'; readonly level: string; readonly routes: readonly TcpRouteFacts[] }

export interface Attachment {
  readonly of: AnyRoute
  readonly ref: ParentRef
}

/** By the host that a parent stands for; the oldest first. */
export type AttachmentIndex = ReadonlyMap<string, readonly Attachment[]>

type RouteTables = Pick<GatewayApiFacts, 'httpRoutes' | 'grpcRoutes' | 'tlsRoutes' | 'tcpRoutes'>

export function allRoutes({ httpRoutes, grpcRoutes, tlsRoutes, tcpRoutes }: RouteTables): readonly AnyRoute[] {
  return [
    ...Array.from(grpcRoutes.values(), (route) => ({ kind: 'GRPCRoute' as const, route })),
    ...Array.from(httpRoutes.values(), (route) => ({ kind: 'HTTPRoute' as const, route })),
    ...Array.from(tlsRoutes.values(), (route) => ({ kind: 'TLSRoute' as const, route })),
    ...Array.from(tcpRoutes.values(), (route) => ({ kind: 'TCPRoute' as const, route })),
  ].sort((one, other) => byAge(one.route, other.route))
}

export function attachmentsOf(tables: RouteTables, domain: string): AttachmentIndex {
  const index = new Map<string, Attachment[]>()
  for (const of of allRoutes(tables)) {
    for (const ref of of.route.spec.parentRefs ?? []) {
      const host = hostOfRef(ref, of.route.namespace, domain)
      if (host === undefined) continue
      const known = index.get(host)
      if (known === undefined) index.set(host, [{ of, ref }])
      else known.push({ of, ref })
    }
  }
  return index
}

export const MCS_GROUP = 'multicluster.x-k8s.io'

interface Ref {
  readonly group: string
  readonly kind: string
  readonly namespace?: string
  readonly name: string
}

/** The name that a Service or a ServiceImport has in the mesh; undefined for what is neither. */
export function hostOfRef({ group, kind, namespace, name }: Ref, own: string, domain: string): string | undefined {
  const service = { service: name, namespace: namespace ?? own }
  if (group === '' && kind === 'Service') return hostOf({ ...service, domain })
  return group === MCS_GROUP && kind === 'ServiceImport' ? hostOf({ ...service, domain: CLUSTERSET_DOMAIN }) : undefined
}

/** Names for something else and Services without an address of their own are no parents. */
export const mayBeParent = ({ entry, isEntry, isHeadless }: Host): boolean =>
  entry === undefined && isEntry !== true && isHeadless !== true

/** Requests are read where nobody declared bytes, and bytes carried where nobody declared requests. */
export const fits = (kind: RouteKind, { protocol }: Pick<PortFacts, 'protocol'>): boolean =>
  kind === 'GRPCRoute' || kind === 'HTTPRoute' ? protocol !== 'tcp' : protocol !== 'http'

export const namesPort = ({ port, sectionName }: Pick<ParentRef, 'port' | 'sectionName'>, named: PortFacts): boolean =>
  (port === undefined || port === named.port) && (sectionName === undefined || sectionName === named.name)

/** What speaks for callers of `caller`; `build` keeps what is made of the same routes. */
export function attachedAt(
  attachments: readonly Attachment[],
  { host, port, caller }: { readonly host: Host; readonly port: PortFacts; readonly caller: string },
): Attached | undefined {
  if (!mayBeParent(host)) return undefined
  const fitting = attachments.filter(({ of, ref }) => fits(of.kind, port) && namesPort(ref, port))
  const level = fitting.some(({ of }) => of.route.namespace === caller) ? caller : host.namespace
  const speaking = fitting.filter(({ of }) => of.route.namespace === level)
  const kind = ROUTE_KINDS.find((one) => speaking.some(({ of }) => of.kind === one))
  if (kind === undefined) return undefined
  const routes = [...new Set(speaking.flatMap(({ of }) => (of.kind === kind ? [of.route] : [])))]
  return { kind, level, routes } as Attached
}

/** Every host that a route leads to. */
export function destinationsOf({ routes }: Attached, domain: string): readonly string[] {
  return [...new Set(routes.flatMap((route) => destinationsOfRoute(route, domain)))]
}

export function destinationsOfRoute({ namespace, spec }: AnyRoute['route'], domain: string): readonly string[] {
  return (spec.rules ?? []).flatMap(({ backendRefs = [], ...rule }) => {
    const filters = 'filters' in rule ? (rule.filters ?? []) : []
    const mirrored = filters.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? [])
    return [...backendRefs, ...mirrored].flatMap((ref) => hostOfRef(ref, namespace, domain) ?? [])
  })
}
