/**
 * What becomes of this mesh's Gateways, their listeners, and of routes at each of them, in the words of the
 * specification. Pure; gateway-status writes it down.
 */
import type { Verdict } from '../../../kube/conditions.ts'
import type { ParentRef } from '../../../kube/kinds/gateway-api.ts'
import type { GatewayApiFacts, GatewayFacts } from '../../observe/facts-gateway-api.ts'
import type { PodFacts, ServiceFacts } from '../../observe/facts.ts'
import { allRoutes, type AnyRoute } from './attachments.ts'
import {
  type Attaching,
  attaching,
  GATEWAY_NAME_LABEL,
  isGatewayRef,
  isGranted,
  kindsOf,
  kindsOfProtocol,
  type Listener,
  type Namespaces,
  namesGateway,
  ownGateways,
} from './listeners.ts'
import { flawedRules, type ParentVerdict, resolvedRefs, type VerdictInput, verdictsOf } from './route-verdicts.ts'

export interface GatewayVerdict {
  readonly gateway: GatewayFacts
  readonly verdicts: readonly Verdict[]
  readonly addresses: readonly string[]
  readonly listeners: readonly ListenerVerdict[]
}

export interface ListenerVerdict {
  readonly name: string
  readonly kinds: readonly string[]
  readonly attachedRoutes: number
  readonly verdicts: readonly Verdict[]
}

export interface GatewayTables {
  readonly facts: GatewayApiFacts
  readonly namespaces: Namespaces
  readonly pods: ReadonlyMap<string, PodFacts>
  readonly services: ReadonlyMap<string, ServiceFacts>
}

type Words = Pick<Verdict, 'reason' | 'message'>

const good = (type: string): Verdict => ({ type, status: 'True', reason: type, message: '' })
const bad = (type: string, words: Words): Verdict => ({ type, status: 'False', ...words })

export function gatewayVerdicts(tables: GatewayTables): readonly GatewayVerdict[] {
  const routes = allRoutes(tables.facts)
  return ownGateways(tables.facts).map((gateway) => {
    const served = addressesOf(gateway, tables)
    const listeners = gateway.spec.listeners.map((listener) =>
      listenerVerdict({ gateway, listener, routes, tables, isServed: served.isServed }),
    )
    const isSound = listeners.some(({ verdicts }) =>
      verdicts.every(({ type, status }) => type === 'Conflicted' || status === 'True'),
    )
    const programmed = served.isServed
      ? good('Programmed')
      : bad('Programmed', {
          reason: 'Pending',
          message: `no pod with the label ${GATEWAY_NAME_LABEL}=${gateway.name} is ready`,
        })
    const accepted = refusalOf(gateway)
    return {
      gateway,
      addresses: served.addresses,
      listeners,
      verdicts: [
        accepted === undefined
          ? {
              ...good('Accepted'),
              ...(isSound || !served.isServed ? {} : { reason: 'ListenersNotValid', message: 'no listener is valid' }),
            }
          : bad('Accepted', accepted),
        accepted === undefined ? programmed : bad('Programmed', { reason: 'Invalid', message: accepted.message }),
      ],
    }
  })
}

/** What a Gateway asks for as a whole that is not given here. */
function refusalOf({ spec }: GatewayFacts): Words | undefined {
  if ((spec.addresses ?? []).length > 0) {
    return { reason: 'UnsupportedAddress', message: 'spec.addresses: addresses are those of the Service in front' }
  }
  const { parametersRef } = spec.infrastructure ?? {}
  return parametersRef === undefined
    ? undefined
    : { reason: 'InvalidParameters', message: 'spec.infrastructure.parametersRef: no parameters are known here' }
}

/** Of the Services in front of its pods. */
function addressesOf(
  { namespace, name }: GatewayFacts,
  { pods, services }: GatewayTables,
): { readonly isServed: boolean; readonly addresses: readonly string[] } {
  const own = [...pods.values()].filter(
    (pod) => pod.namespace === namespace && pod.labels[GATEWAY_NAME_LABEL] === name && pod.gateway !== undefined,
  )
  const fronts = [...services.values()].filter(
    ({ namespace: of, selector }) =>
      of === namespace &&
      selector !== undefined &&
      own.some(({ labels }) => Object.entries(selector).every(([label, value]) => labels[label] === value)),
  )
  const addresses = [...new Set(fronts.flatMap(({ addresses: found }) => found))].sort()
  return { isServed: own.some(({ ready, ip }) => ready && ip !== ''), addresses }
}

interface ListenerInput {
  readonly gateway: GatewayFacts
  readonly listener: Listener
  readonly routes: readonly AnyRoute[]
  readonly tables: GatewayTables
  readonly isServed: boolean
}

function listenerVerdict({ gateway, listener, routes, tables, isServed }: ListenerInput): ListenerVerdict {
  const { facts, namespaces } = tables
  const kinds = kindsOf(listener)
  const conflict = conflictOf(gateway, listener)
  const unknown =
    kindsOfProtocol(listener) === undefined
      ? { reason: 'UnsupportedProtocol', message: `${listener.protocol} is not served here` }
      : undefined
  const refs = refusedKinds(listener) ?? refusedCertificate({ gateway, listener, facts })
  const attached = routes.filter((of) =>
    (of.route.spec.parentRefs ?? []).some(
      (ref) =>
        namesGateway(ref, of.route.namespace, gateway) &&
        attaching(of, ref, { gateway, listener, namespaces }).attached,
    ),
  )
  const isProgrammed = conflict === undefined && unknown === undefined && refs === undefined && isServed
  return {
    name: listener.name,
    kinds,
    attachedRoutes: attached.length,
    verdicts: [
      unknown === undefined && conflict === undefined
        ? good('Accepted')
        : bad('Accepted', unknown ?? conflict ?? { reason: 'Invalid', message: '' }),
      isProgrammed ? good('Programmed') : bad('Programmed', { reason: isServed ? 'Invalid' : 'Pending', message: '' }),
      refs === undefined ? good('ResolvedRefs') : bad('ResolvedRefs', refs),
      conflict === undefined
        ? { type: 'Conflicted', status: 'False', reason: 'NoConflicts', message: '' }
        : { type: 'Conflicted', status: 'True', ...conflict },
    ],
  }
}

const familyOf = ({ protocol }: Listener): string => (protocol === 'HTTPS' ? 'TLS' : protocol)

/** The first listener of a port says what is spoken there. */
function conflictOf({ spec }: GatewayFacts, listener: Listener): Words | undefined {
  const before = spec.listeners.slice(0, spec.listeners.indexOf(listener)).filter(({ port }) => port === listener.port)
  const other = before.find((one) => familyOf(one) !== familyOf(listener))
  if (other !== undefined)
    return {
      reason: 'ProtocolConflict',
      message: `listener ${other.name} speaks ${other.protocol} at port ${listener.port}`,
    }
  const same = before.find(({ hostname }) => (hostname ?? '') === (listener.hostname ?? ''))
  return same === undefined
    ? undefined
    : { reason: 'HostnameConflict', message: `listener ${same.name} has that host name` }
}

function refusedKinds(listener: Listener): Words | undefined {
  const possible: readonly string[] = kindsOfProtocol(listener) ?? []
  const wrong = (listener.allowedRoutes.kinds ?? []).find(
    ({ group, kind }) => group !== 'gateway.networking.k8s.io' || !possible.includes(kind),
  )
  return wrong === undefined
    ? undefined
    : { reason: 'InvalidRouteKinds', message: `${wrong.kind} is no kind for ${listener.protocol}` }
}

function refusedCertificate({
  gateway,
  listener,
  facts,
}: {
  readonly gateway: GatewayFacts
  readonly listener: Listener
  readonly facts: GatewayApiFacts
}): Words | undefined {
  for (const { group, kind, name, namespace = gateway.namespace } of listener.tls?.certificateRefs ?? []) {
    if (group !== '' || kind !== 'Secret')
      return { reason: 'InvalidCertificateRef', message: `${kind} ${name} is no Secret` }
    const from = { kind: 'Gateway', namespace: gateway.namespace }
    if (!isGranted(facts.referenceGrants.values(), { from, to: { group, kind, namespace, name } })) {
      return {
        reason: 'RefNotPermitted',
        message: `no ReferenceGrant of ${namespace} lets this Gateway have Secret ${name}`,
      }
    }
  }
  return undefined
}

const REFUSALS: Readonly<Record<Extract<Attaching, { attached: false }>['reason'], string>> = {
  NoMatchingParent: 'the Gateway has no such listener',
  NotAllowedByListeners: 'no listener lets in routes of this kind and namespace',
  NoMatchingListenerHostname: 'no listener has a host name in common with it',
}
/** The nearest miss says why. */
const NEAREST = ['NoMatchingListenerHostname', 'NotAllowedByListeners', 'NoMatchingParent'] as const

/** A route at those of its parents that are Gateways of ours. */
export function gatewayParentVerdicts(
  of: AnyRoute,
  tables: GatewayTables,
  input: Omit<VerdictInput, 'index'>,
): readonly ParentVerdict[] {
  const gateways = ownGateways(tables.facts)
  const { namespace } = of.route
  return (of.route.spec.parentRefs ?? []).filter(isGatewayRef).flatMap((ref) => {
    const gateway = gateways.find((one) => namesGateway(ref, namespace, one))
    if (gateway === undefined) return []
    const { refusal, partial } = flawedRules(of)
    const refused = missOf(of, ref, { gateway, namespaces: tables.namespaces }) ?? refusal
    const unresolved = notPermitted(of, tables.facts) ?? resolvedRefs(of, input)
    return { ref, verdicts: verdictsOf(refused, unresolved, refused === undefined ? partial : undefined) }
  })
}

function missOf(
  of: AnyRoute,
  ref: ParentRef,
  to: { readonly gateway: GatewayFacts; readonly namespaces: Namespaces },
): Words | undefined {
  const found = to.gateway.spec.listeners.map((listener) => attaching(of, ref, { ...to, listener }))
  if (found.some(({ attached }) => attached)) return undefined
  const reason =
    NEAREST.find((one) => found.some((each) => !each.attached && each.reason === one)) ?? 'NoMatchingParent'
  return { reason, message: REFUSALS[reason] }
}

function notPermitted({ kind, route }: AnyRoute, { referenceGrants }: GatewayApiFacts): Words | undefined {
  for (const [at, { backendRefs = [] }] of (route.spec.rules ?? []).entries()) {
    for (const { group, kind: toKind, name, namespace = route.namespace } of backendRefs) {
      const reference = { from: { kind, namespace: route.namespace }, to: { group, kind: toKind, namespace, name } }
      if (isGranted(referenceGrants.values(), reference)) continue
      return {
        reason: 'RefNotPermitted',
        message: `spec.rules[${at}]: no ReferenceGrant of ${namespace} lets it have ${toKind} ${name}`,
      }
    }
  }
  return undefined
}
