/**
 * A wanted status merged into an object: entries and conditions of others stay where they are, times move only with
 * verdicts, and the generation that was judged is named. Pure; undefined where nothing is to be written.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Verdict } from '../../kube/conditions.ts'
import type {
  BackendTlsPolicy,
  Gateway,
  GatewayClass,
  ListenerStatus,
  ParentRef,
  RouteParentStatus,
  RouteStatus,
} from '../../kube/kinds/gateway-api.ts'
import type { Condition, KubeObject } from '../../kube/object.ts'
import { GATEWAY_CONTROLLER } from '../../model/names.ts'
import type { ClassWords, GatewayWords, PolicyWords, RouteWords, Wanted } from './wanted.ts'

type WithStatus = KubeObject & { status?: unknown }

export function merged(object: KubeObject, says: Wanted['says'], now: string): KubeObject | undefined {
  const { status } = object as WithStatus
  const at = { now, generation: object.metadata.generation ?? 0 }
  const next = statusOf(status, says, at)
  if (next === undefined || isDeepStrictEqual(next, status)) return undefined
  return { ...object, status: next } as KubeObject
}

function statusOf(status: unknown, says: Wanted['says'], at: Moment): unknown {
  if (says.kind === 'route') return routeStatus(status as RouteStatus | undefined, says, at)
  if (says.kind === 'class') return classStatus(status as GatewayClass['status'], says, at)
  if (says.kind === 'policy') return policyStatus(status as BackendTlsPolicy['status'], says, at)
  return gatewayStatus(status as Gateway['status'], says, at)
}

export interface Moment {
  readonly now: string
  readonly generation: number
}

/** In the order of the verdicts. Undefined: somebody judged a newer object already. */
export function conditionsAt(
  before: readonly Condition[],
  verdicts: readonly Verdict[],
  { now, generation }: Moment,
): Condition[] | undefined {
  if (before.some(({ observedGeneration = 0 }) => observedGeneration > generation)) return undefined
  return verdicts.map(({ type, status, reason, message }): Condition => {
    const known = before.find((condition) => condition.type === type)
    const lastTransitionTime = known?.status === status ? known.lastTransitionTime : now
    return { type, status, reason, message, lastTransitionTime, observedGeneration: generation }
  })
}

function routeStatus(status: RouteStatus | undefined, { parents }: RouteWords, at: Moment): RouteStatus | undefined {
  const entries = status?.parents ?? []
  const own = entries.filter(({ controllerName }) => controllerName === GATEWAY_CONTROLLER)
  const others = entries.filter(({ controllerName }) => controllerName !== GATEWAY_CONTROLLER)
  // Whoever never said anything of it leaves no empty status behind.
  if (parents.length === 0 && own.length === 0) return undefined
  const written: RouteParentStatus[] = []
  for (const { ref, verdicts } of parents) {
    const before = own.find(({ parentRef }) => isSameParent(parentRef, ref))
    const conditions = conditionsAt(before?.conditions ?? [], verdicts, at)
    if (conditions === undefined) return undefined
    written.push({ parentRef: before?.parentRef ?? ref, controllerName: GATEWAY_CONTROLLER, conditions })
  }
  return { ...status, parents: [...others, ...written] }
}

function isSameParent(one: RouteParentStatus['parentRef'], other: ParentRef): boolean {
  return (['group', 'kind', 'namespace', 'name', 'sectionName', 'port'] as const).every(
    (field) => (one[field] ?? DEFAULTS[field]) === other[field],
  )
}

const DEFAULTS: Partial<Record<keyof ParentRef, string>> = { group: 'gateway.networking.k8s.io', kind: 'Gateway' }

function classStatus(
  status: GatewayClass['status'],
  { verdicts, features }: ClassWords,
  at: Moment,
): GatewayClass['status'] {
  const conditions = withOwn(status?.conditions, verdicts, at)
  return conditions && { ...status, conditions, supportedFeatures: features.map((name) => ({ name })) }
}

function gatewayStatus(status: Gateway['status'], { verdict }: GatewayWords, at: Moment): Gateway['status'] {
  const conditions = withOwn(status?.conditions, verdict.verdicts, at)
  if (conditions === undefined) return undefined
  const listeners = verdict.listeners.map(({ name, kinds, attachedRoutes, verdicts }): ListenerStatus => {
    const before = status?.listeners?.find((listener) => listener.name === name)
    return {
      name,
      supportedKinds: kinds.map((kind) => ({ group: 'gateway.networking.k8s.io', kind })),
      attachedRoutes,
      conditions: conditionsAt(before?.conditions ?? [], verdicts, at) ?? [],
    }
  })
  const addresses = verdict.addresses.map((value) => ({ type: 'IPAddress', value }))
  return { ...status, addresses, conditions, listeners }
}

function withOwn(before: readonly Condition[] = [], verdicts: readonly Verdict[], at: Moment): Condition[] | undefined {
  const own = conditionsAt(before, verdicts, at)
  const others = before.filter(({ type }) => !verdicts.some((verdict) => verdict.type === type))
  return own && [...others, ...own]
}

function policyStatus(
  status: BackendTlsPolicy['status'],
  { targets, verdicts }: PolicyWords,
  at: Moment,
): BackendTlsPolicy['status'] {
  const entries = status?.ancestors ?? []
  const others = entries.filter(({ controllerName }) => controllerName !== GATEWAY_CONTROLLER)
  const own = targets.map((ancestorRef) => {
    const before = entries.find(
      (entry) => entry.controllerName === GATEWAY_CONTROLLER && isDeepStrictEqual(entry.ancestorRef, ancestorRef),
    )
    const conditions = conditionsAt(before?.conditions ?? [], verdicts, at) ?? before?.conditions ?? []
    return { ancestorRef, controllerName: GATEWAY_CONTROLLER, conditions }
  })
  return { ...status, ancestors: [...others, ...own] }
}
