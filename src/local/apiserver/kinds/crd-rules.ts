/**
 * CustomResourceDefinitions: defaults and validation, the conditions that clients wait for, registration (a kind is in
 * discovery before anyone can read `Established`), and the clean-up of instances when a definition is deleted.
 */
import { isDeepStrictEqual } from 'node:util'
import type { CustomResourceDefinition } from '../../../kube/kinds.ts'
import type { FieldError } from '../crd/structural.ts'
import { validateCrd } from '../crd/validate-crd.ts'
import {
  child,
  children,
  ensureChild,
  nameOf,
  setDefault,
  text,
  texts,
  timestamp,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { methodNotAllowed } from '../status.ts'
import { customKind } from './custom-kind.ts'
import type { KindRules, RuleContext } from './kind.ts'
import type { KindRegistry } from './registry.ts'
import { wrong } from './pod-validation.ts'

export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io'
export const CRD_STORAGE_KEY = 'customresourcedefinitions.apiextensions.k8s.io'

/** Names that follow from the kind. */
function defaults(crd: ApiObject): void {
  const spec = ensureChild(crd, 'spec')
  const names = ensureChild(spec, 'names')
  const kind = text(names, 'kind')
  if (kind !== '') {
    setDefault(names, 'singular', kind.toLowerCase())
    setDefault(names, 'listKind', `${kind}List`)
  }
  setDefault(ensureChild(spec, 'conversion'), 'strategy', 'None')
}

/** Stored instances stay readable: names and scope are fixed, and a version they may lie in cannot vanish. */
function validate(crd: ApiObject, old: ApiObject | undefined): readonly FieldError[] {
  const errors = validateCrd(crd as unknown as CustomResourceDefinition)
  if (old === undefined) return errors
  const [spec, before] = [child(crd, 'spec'), child(old, 'spec')]
  for (const path of ['group', 'scope', 'names.plural', 'names.kind']) {
    const read = (source: JsonObject): unknown =>
      path.split('.').reduce<unknown>((value, key) => child({ value }, 'value')[key], source)
    if (!isDeepStrictEqual(read(spec), read(before)))
      errors.push(wrong(`spec.${path}`, 'field is immutable', read(spec)))
  }
  const versions = new Set(children(spec, 'versions').map((version) => text(version, 'name')))
  for (const [index, version] of texts(child(old, 'status'), 'storedVersions').entries())
    if (!versions.has(version))
      errors.push(wrong(`status.storedVersions[${index}]`, 'must appear in spec.versions', version))
  return errors
}

/** The work of the naming and establishing controllers, done within the write instead of a moment later. */
function admit(crd: ApiObject, old: ApiObject | undefined, context: RuleContext): void {
  if (old === undefined) crd.metadata.finalizers = [...new Set([...(crd.metadata.finalizers ?? []), CLEANUP_FINALIZER])]
  const status = { ...child(crd, 'status') }
  const spec = child(crd, 'spec')
  const storage = children(spec, 'versions').find((version) => version['storage'] === true)
  status['acceptedNames'] = spec['names']
  status['storedVersions'] = [...new Set([...texts(status, 'storedVersions'), text(storage, 'name')])]
  const conflict = nameConflict(crd, context.registry)
  const now = timestamp(context.clock.now())
  setCondition(
    status,
    now,
    conflict === undefined
      ? ['NamesAccepted', 'True', 'NoConflicts', 'no conflicts found']
      : ['NamesAccepted', 'False', 'KindConflict', conflict],
  )
  if (conflict === undefined)
    setCondition(status, now, ['Established', 'True', 'InitialNamesAccepted', 'the initial names have been accepted'])
  else if (!isEstablished({ ...crd, status }))
    setCondition(status, now, ['Established', 'False', 'NotAccepted', 'not all names are accepted'])
  crd['status'] = status
}

/** Two kinds of one name in a group would make `kubectl get <kind>` ambiguous. */
function nameConflict(crd: ApiObject, registry: KindRegistry): string | undefined {
  const spec = child(crd, 'spec')
  const names = child(spec, 'names')
  const group = text(spec, 'group')
  const other = registry
    .all()
    .find(
      (kind) =>
        kind.group === group &&
        kind.plural !== text(names, 'plural') &&
        (kind.kind === text(names, 'kind') || kind.listKind === text(names, 'listKind')),
    )
  return other === undefined ? undefined : `"${text(names, 'kind')}" is already in use by ${other.plural}.${group}`
}

/** The time of a condition is that of its last change. */
function setCondition(
  status: JsonObject,
  now: string,
  [type, value, reason, message]: [string, string, string, string],
): void {
  const conditions = children(status, 'conditions')
  const existing = conditions.find((condition) => condition['type'] === type)
  if (existing?.['status'] === value) return
  const condition = { type, status: value, lastTransitionTime: now, reason, message }
  status['conditions'] = [...conditions.filter((item) => item !== existing), condition]
}

function isEstablished(crd: ApiObject): boolean {
  return children(crd['status'], 'conditions').some(
    (condition) => condition['type'] === 'Established' && condition['status'] === 'True',
  )
}

/** Also called for every stored definition when the server starts. */
export function registerCrd(crd: ApiObject, registry: KindRegistry): void {
  if (isEstablished(crd)) registry.set(customKind(crd, instanceRules(nameOf(crd))))
}

/** Registration follows the write, within the same turn: no reader sees one without the other. */
function stored(crd: ApiObject, _old: ApiObject | undefined, context: RuleContext): void {
  registerCrd(crd, context.registry)
  if (crd.metadata.deletionTimestamp !== undefined) removeInstances(nameOf(crd), context)
}

/** Instances with finalizers of their own stay until those are gone; the last one to go ends the definition. */
export function removeInstances(crdName: string, context: RuleContext): void {
  const { store, clock } = context
  for (const instance of store.list(crdName)) {
    const key =
      instance.metadata.namespace === undefined
        ? nameOf(instance)
        : `${instance.metadata.namespace}/${nameOf(instance)}`
    if ((instance.metadata.finalizers ?? []).length === 0) store.remove(crdName, key, instance)
    else if (instance.metadata.deletionTimestamp === undefined) {
      const metadata = {
        ...instance.metadata,
        deletionTimestamp: timestamp(clock.now()),
        deletionGracePeriodSeconds: 0,
      }
      store.put(crdName, key, { ...instance, metadata })
    }
  }
  finishIfEmpty(crdName, context)
}

function finishIfEmpty(crdName: string, context: RuleContext): void {
  const { store } = context
  const crd = store.get(CRD_STORAGE_KEY, crdName)
  if (crd?.metadata.deletionTimestamp === undefined || store.count(crdName) > 0) return
  const finalizers = (crd.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CLEANUP_FINALIZER)
  if (finalizers.length === (crd.metadata.finalizers ?? []).length) return
  const { finalizers: _, ...metadata } = crd.metadata
  const released = { ...crd, metadata: { ...metadata, ...(finalizers.length === 0 ? {} : { finalizers }) } }
  if (finalizers.length > 0) store.put(CRD_STORAGE_KEY, crdName, released)
  else removed(store.remove(CRD_STORAGE_KEY, crdName, released), context)
}

/** Watchers of the kind end with it (the registry tells them); its history is nobody's any more. */
function removed(crd: ApiObject, context: RuleContext): void {
  const spec = child(crd, 'spec')
  context.registry.remove(text(spec, 'group'), text(child(spec, 'names'), 'plural'))
  context.store.forget(nameOf(crd))
}

/** Rules of the instances: nothing new while the definition goes, and the last one out ends it. */
function instanceRules(crdName: string): KindRules {
  return {
    prepare: (_object, context) => {
      const crd = context.store.get(CRD_STORAGE_KEY, crdName)
      if (crd?.metadata.deletionTimestamp !== undefined)
        throw methodNotAllowed('create not allowed while custom resource definition is terminating')
    },
    removed: (_object, context) => finishIfEmpty(crdName, context),
  }
}

export const CRD_RULES: KindRules = { defaults, validate, admit, stored, removed }
