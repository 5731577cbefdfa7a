/**
 * Create and update, the part that all writes share: preconditions, what the client may not change, defaults,
 * validation, admission, generation, and whether the write is one at all (equal content is not). Bodies are decoded
 * before and answers made after. Without a webhook to ask, a write happens in one turn after its first await.
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import { generateName, validateMetadata } from '../kinds/names.ts'
import { checkQuotas, refreshQuotas } from '../kinds/quota.ts'
import { mutated, validated } from '../admission/admit.ts'
import { apiVersionOf, present, toStored } from '../kinds/kind.ts'
import {
  child,
  children,
  isJsonObject,
  keyOf,
  nameOf,
  text,
  timestamp,
  type ApiObject,
  type Metadata,
  type JsonObject,
} from '../object.ts'
import { alreadyExists, ApiError, badRequest, conflict, forbidden, invalid, notFound, type Status } from '../status.ts'
import { checkIdentity } from './decode.ts'
import { ruleContext, subjectOf, type Scope } from './scope.ts'

const GENERATE_ATTEMPTS = 8

/** Stores a new object; the answer is in the request's version. */
export async function createObject(scope: Scope, input: ApiObject): Promise<ApiObject> {
  const { context, kind, version } = scope
  const object = await admitted(scope, newObject(scope, input), undefined)
  const key = keyOf(object.metadata.namespace, nameOf(object))
  const checkFree = (): void => {
    checkNamespace(scope, nameOf(object))
    if (context.store.get(kind.storageKey, key) !== undefined) throw duplicate(scope, input, object)
  }
  checkValid(scope, object, undefined)
  checkFree()
  await validated(scope, { operation: 'CREATE', subresource: '', object: asAsked(scope, object), old: undefined })
  // Others wrote while webhooks were asked; from here to the end nobody comes in between.
  checkFree()
  checkQuotas({ store: context.store, subject: subjectOf(scope), storageKey: kind.storageKey, object })
  kind.rules.admit?.(object, undefined, ruleContext(scope))
  if (scope.dryRun) return present(kind, version, object)
  const stored = context.store.put(kind.storageKey, key, object)
  refreshQuotas(context.store, stored.metadata.namespace)
  kind.rules.stored?.(stored, undefined, ruleContext(scope))
  return present(kind, version, stored)
}

/** What would be stored if nobody else were asked. */
function newObject(scope: Scope, input: ApiObject): ApiObject {
  const { kind, version } = scope
  checkIdentity(scope, input)
  if (input.metadata.resourceVersion !== undefined)
    throw new ApiError(500, '', 'resourceVersion should not be set on objects to be created')
  const object = toStored(kind, version, input)
  object.metadata = freshMetadata(scope, input)
  // Status belongs to its own endpoint; a kind without one keeps it as plain data.
  if (version.status && kind.keepsStatusOnCreate !== true) delete object['status']
  checkNamespace(scope, nameOf(object))
  applyDefaults(scope, object)
  kind.rules.prepare?.(object, ruleContext(scope))
  return object
}

/** As the request's version has it, without what reading a stored object adds. */
function asAsked({ kind, version }: Scope, object: ApiObject): ApiObject {
  return kind.custom
    ? { ...object, apiVersion: apiVersionOf(kind.group, version.version) }
    : present(kind, version, object)
}

/** The object after mutating webhooks: what they changed is defaulted and prepared as if the client had sent it. */
async function admitted(scope: Scope, object: ApiObject, old: ApiObject | undefined): Promise<ApiObject> {
  const { kind, version, info } = scope
  const asked = asAsked(scope, object)
  const operation = old === undefined ? 'CREATE' : 'UPDATE'
  const shownOld = old === undefined ? undefined : present(kind, version, old)
  const wanted = await mutated(scope, { operation, subresource: info.subresource, object: asked, old: shownOld })
  if (wanted === asked) return object
  const changed = toStored(kind, version, wanted)
  changed.kind = kind.kind
  const { labels: _l, annotations: _a, ownerReferences: _o, finalizers: _f, ...kept } = object.metadata
  changed.metadata = { ...kept, ...ownedByClients(wanted.metadata) }
  version.schema?.prune(changed)
  applyDefaults(scope, changed)
  if (old === undefined) kind.rules.prepare?.(changed, ruleContext(scope))
  return changed
}

/** For a generated name the client may simply try again, and the message says so. */
function duplicate(scope: Scope, input: ApiObject, object: ApiObject): ApiError {
  const generated = input.metadata.name === undefined
  return alreadyExists(
    subjectOf(scope),
    nameOf(object),
    generated ? ', the server was not able to generate a unique name for the object' : '',
  )
}

function freshMetadata(scope: Scope, input: ApiObject): Metadata {
  const name = input.metadata.name ?? generatedName(scope, input)
  const { generateName: prefix, namespace } = input.metadata
  return {
    ...(name === undefined ? {} : { name }),
    ...(prefix === undefined ? {} : { generateName: prefix }),
    ...(namespace === undefined ? {} : { namespace }),
    uid: randomUUID(),
    creationTimestamp: timestamp(scope.context.clock.now()),
    ...(scope.kind.generation ? { generation: 1 } : {}),
    ...ownedByClients(input.metadata),
  }
}

/** The parts of metadata that are the client's to write. */
function ownedByClients(metadata: Metadata): Metadata {
  const { labels, annotations, ownerReferences, finalizers } = metadata
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    ...(finalizers === undefined ? {} : { finalizers }),
  }
}

/** A free name; after several taken ones the last is returned, and the create says that it exists. */
function generatedName(scope: Scope, { metadata }: ApiObject): string | undefined {
  const { generateName: prefix, namespace } = metadata
  if (prefix === undefined) return undefined
  const { random, store } = scope.context
  let name = generateName(prefix, () => random.next())
  for (let attempt = 1; attempt < GENERATE_ATTEMPTS; attempt += 1) {
    if (store.get(scope.kind.storageKey, keyOf(namespace, name)) === undefined) break
    name = generateName(prefix, () => random.next())
  }
  return name
}

function applyDefaults(scope: Scope, object: ApiObject): void {
  scope.version.schema?.applyDefaults(object)
  scope.kind.rules.defaults?.(object)
}

/** All that is wrong at once, so that a person corrects a manifest in one round. */
function checkValid(scope: Scope, object: ApiObject, old: ApiObject | undefined): void {
  const { kind, version } = scope
  const errors = [
    ...validateMetadata(object, kind.nameRule, kind.namespaced),
    ...(version.schema?.validate(object) ?? []),
    ...(kind.rules.validate?.(object, old, ruleContext(scope)) ?? []),
  ]
  // Rules trust the types that the schema promises.
  if (errors.length === 0) errors.push(...rulesOf(scope, object, old))
  if (errors.length > 0) throw invalid(subjectOf(scope), nameOf(object), errors)
}

/** CEL rules compare with what was there before as the request's version shows it. */
function rulesOf({ kind, version }: Scope, object: ApiObject, old: ApiObject | undefined): readonly FieldError[] {
  return version.schema?.rules?.(object, old === undefined ? undefined : present(kind, version, old)) ?? []
}

/** Before validation, as admission comes first on a real server: what is wrong is the place, not the object. */
function checkNamespace(scope: Scope, name: string): void {
  const { namespace } = scope.info
  if (!scope.kind.namespaced) return
  const found = scope.context.store.get('namespaces', namespace)
  if (found === undefined) throw notFound({ group: '', plural: 'namespaces', kind: 'Namespace' }, namespace)
  if (found.metadata.deletionTimestamp === undefined) return
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`
  const message = `namespace ${namespace} is being terminated`
  throw forbidden(subjectOf(scope), name, why, [
    { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
  ])
}

/** Which part of the object a write may touch. */
export type Part = 'main' | 'status' | 'finalize'

/** A write that webhooks held up meets others; patches and unconditional writes are then made anew, as a real server does. */
const UPDATE_ATTEMPTS = 5

/** Replaces an object by what `change` makes of it, as shown in the request's version. */
export async function updateObject(
  scope: Scope,
  part: Part,
  change: (current: ApiObject) => ApiObject,
): Promise<ApiObject> {
  const { context, kind, version, info } = scope
  const key = keyOf(info.namespace, info.name)
  for (let attempt = 0; attempt < UPDATE_ATTEMPTS; attempt += 1) {
    const stored = context.store.get(kind.storageKey, key)
    if (stored === undefined) throw notFound(subjectOf(scope), info.name)
    const wanted = change(structuredClone(present(kind, version, stored)))
    checkIdentity(scope, wanted)
    checkPreconditions(scope, wanted, stored)
    const object = await judged(scope, part, merged(scope, part, toStored(kind, version, wanted), stored), stored)
    if (context.store.get(kind.storageKey, key) !== stored) continue
    if (part === 'main') kind.rules.admit?.(object, stored, ruleContext(scope))
    return present(kind, version, commit(scope, key, object, stored))
  }
  throw conflict(subjectOf(scope), info.name)
}

/** Defaults, admission and validation of the part that is written. */
// oxlint-disable-next-line max-params -- what is written, and over what
async function judged(scope: Scope, part: Part, wanted: ApiObject, stored: ApiObject): Promise<ApiObject> {
  if (part === 'finalize') return wanted
  if (part === 'main') applyDefaults(scope, wanted)
  // A Scale is not the object; webhooks for scales are not asked.
  const asks = part === 'status' || scope.info.subresource === ''
  const object = asks ? await admitted(scope, wanted, stored) : wanted
  if (part === 'main') {
    if (object !== wanted) recount(scope, object, stored)
    checkFinalizers(scope, object, stored)
    checkValid(scope, object, stored)
  } else checkStatus(scope, object, stored)
  if (!asks) return object
  const { kind, version, info } = scope
  const old = present(kind, version, stored)
  await validated(scope, { operation: 'UPDATE', subresource: info.subresource, object: asAsked(scope, object), old })
  return object
}

/** Generation counts what is stored, webhooks' changes included. */
function recount(scope: Scope, object: ApiObject, stored: ApiObject): void {
  if (!scope.kind.generation) return
  const before = stored.metadata.generation ?? 0
  object.metadata.generation = contentChanged(scope, object, stored) ? before + 1 : before
}

/** Rules of the spec do not run here: a controller must be able to report on an object that predates a rule. */
function checkStatus(scope: Scope, object: ApiObject, stored: ApiObject): void {
  if (scope.kind.custom) scope.version.schema?.applyDefaults(object)
  const errors = [
    ...(scope.version.schema?.validate(object) ?? []),
    ...(scope.kind.rules.validateStatus?.(object, stored) ?? []),
  ]
  if (errors.length === 0) errors.push(...rulesOf(scope, object, stored))
  if (errors.length > 0) throw invalid(subjectOf(scope), nameOf(object), errors)
}

/** Custom resources and Leases insist on a version: their writers are controllers that must have read. */
function checkPreconditions(scope: Scope, wanted: ApiObject, stored: ApiObject): void {
  const { resourceVersion, uid } = wanted.metadata
  const subject = subjectOf(scope)
  if (uid !== undefined && uid !== stored.metadata.uid)
    throw conflict(
      subject,
      scope.info.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${stored.metadata.uid}`,
    )
  if (resourceVersion === undefined || resourceVersion === '0') {
    if (scope.method !== 'PUT' || scope.kind.unconditionalUpdate) return
    throw invalid(subject, scope.info.name, [
      {
        path: 'metadata.resourceVersion',
        reason: 'FieldValueInvalid',
        detail: 'must be specified for an update',
        value: 0,
      },
    ])
  }
  if (!/^[0-9]+$/.test(resourceVersion)) {
    const detail = `strconv.ParseUint: parsing "${resourceVersion}": invalid syntax`
    throw invalid(subject, scope.info.name, [
      { path: 'metadata.resourceVersion', reason: 'FieldValueInvalid', detail, value: resourceVersion },
    ])
  }
  if (resourceVersion !== stored.metadata.resourceVersion) throw conflict(subject, scope.info.name)
}

/** The stored object with the part replaced that this endpoint owns. */
function merged(scope: Scope, part: Part, wanted: ApiObject, stored: ApiObject): ApiObject {
  // Copies, since defaulting works in place and stored objects are shared with every reader.
  if (part === 'status') return withField(structuredClone(stored), 'status', wanted['status'])
  if (part === 'finalize') {
    const finalizers = isJsonObject(wanted['spec']) ? wanted['spec']['finalizers'] : undefined
    return { ...stored, spec: { ...(stored['spec'] as JsonObject | undefined), finalizers: finalizers ?? [] } }
  }
  const object = scope.version.status ? withField(wanted, 'status', structuredClone(stored['status'])) : { ...wanted }
  object.metadata = carriedMetadata(wanted, stored)
  scope.kind.rules.carry?.(object, stored)
  if (scope.kind.generation && contentChanged(scope, object, stored))
    object.metadata.generation = (stored.metadata.generation ?? 0) + 1
  return object
}

function withField(object: ApiObject, field: string, value: unknown): ApiObject {
  const copy = { ...object }
  if (value === undefined) delete copy[field]
  else copy[field] = value
  return copy
}

function carriedMetadata(wanted: ApiObject, stored: ApiObject): Metadata {
  const { labels: _l, annotations: _a, ownerReferences: _o, finalizers: _f, ...kept } = stored.metadata
  return { ...kept, ...ownedByClients(wanted.metadata) }
}

/** Anything outside metadata, and outside status where that has its own endpoint. */
function contentChanged(scope: Scope, object: ApiObject, stored: ApiObject): boolean {
  const content = (source: ApiObject): JsonObject => {
    const copy: JsonObject = { ...source }
    delete copy['metadata']
    if (scope.version.status) delete copy['status']
    return copy
  }
  const defaulted = structuredClone(object)
  applyDefaults(scope, defaulted)
  return !isDeepStrictEqual(content(defaulted), content(stored))
}

/** Whoever comes late cannot hold up an end that has begun. */
function checkFinalizers(scope: Scope, object: ApiObject, stored: ApiObject): void {
  if (stored.metadata.deletionTimestamp === undefined) return
  const before = stored.metadata.finalizers ?? []
  const added = (object.metadata.finalizers ?? []).filter((finalizer) => !before.includes(finalizer))
  if (added.length === 0) return
  const detail = `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`
  throw invalid(subjectOf(scope), scope.info.name, [
    { path: 'metadata.finalizers', reason: 'FieldValueForbidden', detail },
  ])
}

/** Writes unless nothing changed; the last finalizer's removal is a deletion. */
export function commit(scope: Scope, key: string, object: ApiObject, stored: ApiObject): ApiObject {
  const { context, kind } = scope
  object.metadata = { ...object.metadata, ...versionOfStored(stored) }
  if (isDeepStrictEqual(object, stored)) return stored
  if (scope.dryRun) return object
  if (isGone(object)) {
    const removed = context.store.remove(kind.storageKey, key, object)
    refreshQuotas(context.store, removed.metadata.namespace)
    kind.rules.removed?.(removed, ruleContext(scope))
    return removed
  }
  const written = context.store.put(kind.storageKey, key, object)
  refreshQuotas(context.store, written.metadata.namespace)
  kind.rules.stored?.(written, stored, ruleContext(scope))
  return written
}

function versionOfStored(stored: ApiObject): { resourceVersion?: string } {
  const { resourceVersion } = stored.metadata
  return resourceVersion === undefined ? {} : { resourceVersion }
}

/** Deletion was asked for, no grace period runs, and nobody holds the object any more. */
export function isGone(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata
  if (deletionTimestamp === undefined || (deletionGracePeriodSeconds ?? 0) > 0) return false
  return (finalizers ?? []).length === 0 && heldBySpec(object).length === 0
}

/** Namespaces keep a second list of finalizers in their spec. */
export function heldBySpec(object: ApiObject): unknown[] {
  if (object.kind !== 'Namespace' || object.apiVersion !== 'v1' || !isJsonObject(object['spec'])) return []
  const finalizers = object['spec']['finalizers']
  return Array.isArray(finalizers) ? finalizers : []
}

/** POST pods/<name>/binding: the scheduler's way to put a pod on a node; spec.nodeName changes by no other. */
export function bindPod(scope: Scope, binding: JsonObject): Status {
  const { context, kind, info } = scope
  const key = keyOf(info.namespace, info.name)
  const pod = context.store.get(kind.storageKey, key)
  if (pod === undefined) throw notFound(subjectOf(scope), info.name)
  const node = text(binding['target'], 'name')
  const present = text(pod['spec'], 'nodeName')
  if (node === '') throw badRequest('target.name: Required value')
  if (present !== '')
    throw conflict(subjectOf(scope), info.name, `pod ${info.name} is already assigned to node "${present}"`)
  const now = timestamp(context.clock.now())
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now }
  const others = children(pod['status'], 'conditions').filter((condition) => condition['type'] !== 'PodScheduled')
  const bound = {
    ...pod,
    spec: { ...child(pod, 'spec'), nodeName: node },
    status: { ...child(pod, 'status'), conditions: [...others, scheduled] },
  }
  commit(scope, key, bound, pod)
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }
}
