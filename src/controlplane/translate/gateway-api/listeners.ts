/**
 * Listeners of this mesh's Gateways and the routes that attach to each: by what the route names, by what the listener
 * allows, by the host names that both have. The same for translate and for status. Pure.
 */
import type { ParentRef } from '../../../kube/kinds/gateway-api.ts'
import { GATEWAY_CONTROLLER } from '../../../model/names.ts'
import type { GatewayApiFacts, GatewayFacts, ReferenceGrantFacts } from '../../observe/facts-gateway-api.ts'
import { byAge } from '../../observe/facts-networking.ts'
import type { NamespaceFacts } from '../../observe/facts.ts'
import { intersect } from '../host-names.ts'
import { hasLabels } from '../istio/names.ts'
import type { AnyRoute, RouteKind } from './attachments.ts'

export type Listener = GatewayFacts['spec']['listeners'][number]
export const GATEWAY_GROUP = 'gateway.networking.k8s.io'
/** On the pods of a Gateway; the specification's own label (GEP-1762). */
export const GATEWAY_NAME_LABEL = 'gateway.networking.k8s.io/gateway-name'

/** Those whose class is ours; the oldest first. */
export function ownGateways({ gateways, gatewayClasses }: GatewayApiFacts): readonly GatewayFacts[] {
  const classes = new Map([...gatewayClasses.values()].map(({ name, spec }) => [name, spec.controllerName]))
  return [...gateways.values()]
    .filter(({ spec }) => classes.get(spec.gatewayClassName) === GATEWAY_CONTROLLER)
    .sort(byAge)
}

const KINDS: Readonly<Record<string, readonly RouteKind[]>> = {
  HTTP: ['HTTPRoute', 'GRPCRoute'],
  HTTPS: ['HTTPRoute', 'GRPCRoute'],
  TLS: ['TLSRoute'],
  TCP: ['TCPRoute'],
}

/** Undefined: a protocol that is not served here. */
export const kindsOfProtocol = ({ protocol }: Listener): readonly RouteKind[] | undefined => KINDS[protocol]

/** Of the protocol's, those that the listener lets in. */
export function kindsOf(listener: Listener): readonly RouteKind[] {
  const possible = kindsOfProtocol(listener) ?? []
  const { kinds } = listener.allowedRoutes
  if (kinds === undefined || kinds.length === 0) return possible
  return possible.filter((kind) => kinds.some((one) => one.group === GATEWAY_GROUP && one.kind === kind))
}

export type Namespaces = ReadonlyMap<string, NamespaceFacts>

/** `hostnames`: what the route gets of the listener's requests or connections. */
export type Attaching =
  | { readonly attached: true; readonly hostnames: readonly string[] }
  | {
      readonly attached: false
      readonly reason: 'NoMatchingParent' | 'NotAllowedByListeners' | 'NoMatchingListenerHostname'
    }

export const isGatewayRef = ({ group, kind }: ParentRef): boolean => group === GATEWAY_GROUP && kind === 'Gateway'

export const namesGateway = (ref: ParentRef, own: string, { namespace, name }: GatewayFacts): boolean =>
  isGatewayRef(ref) && ref.name === name && (ref.namespace ?? own) === namespace

/** For a reference that names the Gateway. */
export function attaching(
  of: AnyRoute,
  ref: ParentRef,
  to: { readonly gateway: GatewayFacts; readonly listener: Listener; readonly namespaces: Namespaces },
): Attaching {
  const { listener } = to
  if (ref.sectionName !== undefined && ref.sectionName !== listener.name) return refused('NoMatchingParent')
  if (ref.port !== undefined && ref.port !== listener.port) return refused('NoMatchingParent')
  if (!kindsOf(listener).includes(of.kind) || !letsIn(of.route.namespace, to)) return refused('NotAllowedByListeners')
  const own = listener.hostname ?? '*'
  const wanted = of.kind === 'TCPRoute' ? [] : (of.route.spec.hostnames ?? [])
  if (wanted.length === 0) return { attached: true, hostnames: [own] }
  const hostnames = [...new Set(wanted.flatMap((hostname) => intersect(own, hostname) ?? []))]
  return hostnames.length === 0 ? refused('NoMatchingListenerHostname') : { attached: true, hostnames }
}

const refused = (reason: Extract<Attaching, { attached: false }>['reason']): Attaching => ({ attached: false, reason })

function letsIn(
  namespace: string,
  { gateway, listener, namespaces }: { gateway: GatewayFacts; listener: Listener; namespaces: Namespaces },
): boolean {
  const { from, selector } = listener.allowedRoutes.namespaces
  if (from === 'All') return true
  if (from === 'Same') return namespace === gateway.namespace
  const labels = { 'kubernetes.io/metadata.name': namespace, ...namespaces.get(namespace)?.labels }
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {}
  if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return false
  return hasLabels(labels, matchLabels) && matchExpressions.every((one) => meets(labels, one))
}

interface Expression {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

/** An operator that nobody knows lets nobody in. */
function meets(labels: Readonly<Record<string, string>>, { key, operator, values = [] }: Expression): boolean {
  const value = labels[key]
  if (operator === 'In') return value !== undefined && values.includes(value)
  if (operator === 'NotIn') return value === undefined || !values.includes(value)
  if (operator === 'Exists') return value !== undefined
  return operator === 'DoesNotExist' && value === undefined
}

export interface Reference {
  readonly from: { readonly kind: string; readonly namespace: string }
  readonly to: { readonly group: string; readonly kind: string; readonly namespace: string; readonly name: string }
}

/** Within a namespace nobody has to be asked. */
export function isGranted(grants: Iterable<ReferenceGrantFacts>, { from, to }: Reference): boolean {
  if (from.namespace === to.namespace) return true
  return [...grants].some(
    ({ namespace, spec }) =>
      namespace === to.namespace &&
      spec.from.some(
        (one) => one.group === GATEWAY_GROUP && one.kind === from.kind && one.namespace === from.namespace,
      ) &&
      spec.to.some((one) => one.group === to.group && one.kind === to.kind && (one.name ?? to.name) === to.name),
  )
}
