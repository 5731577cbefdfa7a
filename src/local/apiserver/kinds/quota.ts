/**
 * ResourceQuota: what a namespace uses, whether one more object fits, and the status that says so. Counted from the store
 * at the moment of a write, so that nothing can be out of step. What cannot be counted here is refused in the quota.
 */
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import { child, children, keyOf, nameOf, numberAt, text, type ApiObject, type JsonObject } from '../object.ts'
import { forbidden, type Subject } from '../status.ts'
import type { Store } from '../store/store.ts'
import type { KindRules } from './kind.ts'
import { forbiddenField, wrong } from './pod-validation.ts'
import { quantityText, thousandths } from './quantity.ts'

export const QUOTAS = 'resourcequotas'

/** Names from before `count/…`. */
const COUNTED: ReadonlySet<string> = new Set(['pods', 'services', 'secrets', 'configmaps', 'resourcequotas'])
const SERVICES = new Set(['services.loadbalancers', 'services.nodeports'])
/** Key of a quota, and where containers say it. */
const COMPUTE: Readonly<Record<string, readonly ['requests' | 'limits', 'cpu' | 'memory']>> = {
  cpu: ['requests', 'cpu'],
  memory: ['requests', 'memory'],
  'requests.cpu': ['requests', 'cpu'],
  'requests.memory': ['requests', 'memory'],
  'limits.cpu': ['limits', 'cpu'],
  'limits.memory': ['limits', 'memory'],
}
const COUNT = 'count/'

function validate(object: ApiObject): FieldError[] {
  const spec = child(object, 'spec')
  const errors: FieldError[] = []
  for (const field of ['scopes', 'scopeSelector'])
    if (spec[field] !== undefined) errors.push(forbiddenField(`spec.${field}`, 'local clusters count without scopes'))
  for (const [key, value] of Object.entries(child(spec, 'hard'))) {
    const isKnown = COUNTED.has(key) || SERVICES.has(key) || Object.hasOwn(COMPUTE, key) || key.startsWith(COUNT)
    if (!isKnown) errors.push(forbiddenField(`spec.hard[${key}]`, 'local clusters cannot count this'))
    if ((thousandths(value) ?? -1) < 0)
      errors.push(wrong(`spec.hard[${key}]`, 'must be a quantity greater than or equal to 0', value))
  }
  return errors
}

export const QUOTA_RULES: KindRules = { validate }

/** Amounts in thousandths that one object takes of each key. */
function takes(key: string, storageKey: string, object: ApiObject): number {
  if (key === COUNT + storageKey) return 1_000
  if (COUNTED.has(key)) return key === storageKey && !isOver(storageKey, object) ? 1_000 : 0
  if (SERVICES.has(key)) return storageKey === 'services' ? portsOf(key, object) : 0
  const compute = Object.hasOwn(COMPUTE, key) ? COMPUTE[key] : undefined
  return compute === undefined || storageKey !== 'pods' || isOver(storageKey, object) ? 0 : podTakes(compute, object)
}

/** A pod that has ended holds nothing but its name. */
function isOver(storageKey: string, object: ApiObject): boolean {
  const phase = text(object['status'], 'phase')
  return storageKey === 'pods' && (phase === 'Succeeded' || phase === 'Failed')
}

function portsOf(key: string, service: ApiObject): number {
  const type = text(service['spec'], 'type')
  if (key === 'services.loadbalancers') return type === 'LoadBalancer' ? 1_000 : 0
  if (type !== 'NodePort' && type !== 'LoadBalancer') return 0
  return children(service['spec'], 'ports').filter((port) => (numberAt(port, 'nodePort') ?? 0) > 0).length * 1_000
}

/** Containers run together, init containers one after the other: the larger of the sum and the largest. */
function podTakes([side, resource]: readonly [string, string], pod: ApiObject): number {
  const amount = (container: JsonObject): number =>
    thousandths(child(child(container, 'resources'), side)[resource]) ?? 0
  const init = children(pod['spec'], 'initContainers')
  const together = [...children(pod['spec'], 'containers'), ...init.filter(isSidecar)]
  const sum = together.reduce((total, container) => total + amount(container), 0)
  return Math.max(sum, ...init.map(amount))
}

const isSidecar = (container: JsonObject): boolean => container['restartPolicy'] === 'Always'

function used(store: Store, namespace: string, key: string): number {
  const type = key.startsWith(COUNT) ? key.slice(COUNT.length) : storageOf(key)
  return store.list(type, namespace).reduce((sum, object) => sum + takes(key, type, object), 0)
}

function storageOf(key: string): string {
  if (SERVICES.has(key)) return 'services'
  return Object.hasOwn(COMPUTE, key) ? 'pods' : key
}

const hardOf = (quota: ApiObject): JsonObject => child(quota['spec'], 'hard')
const textOf = (key: string, amount: number): string => quantityText(amount, key.endsWith('memory'))

interface Newcomer {
  readonly store: Store
  readonly subject: Subject
  readonly storageKey: string
  readonly object: ApiObject
}

/** Throws where the object does not fit into a quota of its namespace. */
export function checkQuotas({ store, subject, storageKey, object }: Newcomer): void {
  const { namespace = '' } = object.metadata
  if (namespace === '' || store.count(QUOTAS) === 0) return
  for (const quota of store.list(QUOTAS, namespace)) {
    const missing = storageKey === 'pods' ? unspoken(quota, object) : []
    if (missing.length > 0)
      throw forbidden(subject, nameOf(object), `failed quota: ${nameOf(quota)}: must specify ${missing.join('; ')}`)
    const over = Object.entries(hardOf(quota)).flatMap(([key, hard]) => {
      const more = takes(key, storageKey, object)
      const before = more === 0 ? 0 : used(store, namespace, key)
      return more > 0 && before + more > (thousandths(hard) ?? 0) ? [{ key, more, before, hard: String(hard) }] : []
    })
    if (over.length === 0) continue
    const list = (value: (one: (typeof over)[number]) => string): string =>
      over.map((one) => `${one.key}=${value(one)}`).join(',')
    const numbers = `requested: ${list(({ key, more }) => textOf(key, more))}, used: ${list(({ key, before }) => textOf(key, before))}, limited: ${list(({ hard }) => hard)}`
    throw forbidden(subject, nameOf(object), `exceeded quota: ${nameOf(quota)}, ${numbers}`)
  }
}

/** A pod that does not say what it wants cannot be counted. */
function unspoken(quota: ApiObject, pod: ApiObject): string[] {
  return Object.keys(hardOf(quota)).flatMap((key) => {
    const compute = Object.hasOwn(COMPUTE, key) ? COMPUTE[key] : undefined
    if (compute === undefined) return []
    const [side, resource] = compute
    const silent = children(pod['spec'], 'containers').filter(
      (container) => child(child(container, 'resources'), side)[resource] === undefined,
    )
    return silent.length === 0 ? [] : [`${key} for: ${silent.map((container) => text(container, 'name')).join(',')}`]
  })
}

/** After a write: the namespace's quotas say what is used. */
export function refreshQuotas(store: Store, namespace: string | undefined): void {
  if (namespace === undefined || store.count(QUOTAS) === 0) return
  for (const quota of store.list(QUOTAS, namespace)) {
    const hard = hardOf(quota)
    const status = {
      hard,
      used: Object.fromEntries(Object.keys(hard).map((key) => [key, textOf(key, used(store, namespace, key))])),
    }
    if (isDeepStrictEqual(quota['status'], status)) continue
    store.put(QUOTAS, keyOf(namespace, nameOf(quota)), { ...quota, status })
  }
}
