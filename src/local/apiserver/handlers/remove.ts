/**
 * Deletion: preconditions, propagation, grace, finalizers. What is held stays with a deletionTimestamp until its
 * holders let go (write.ts ends that); dependents are the garbage collector's, which is a client like any other.
 */
import { validated } from '../admission/admit.ts'
import type { Kind } from '../kinds/kind.ts'
import { present } from '../kinds/kind.ts'
import { refreshQuotas } from '../kinds/quota.ts'
import { isJsonObject, keyOf, nameOf, numberAt, text, timestamp, type ApiObject, type JsonObject } from '../object.ts'
import { badRequest, conflict, invalid, notFound, success, type Status } from '../status.ts'
import { commit, heldBySpec } from './write.ts'
import { ruleContext, subjectOf, type Scope } from './scope.ts'

interface DeleteOptions {
  readonly gracePeriodSeconds?: number
  readonly propagation: 'Background' | 'Foreground' | 'Orphan' | undefined
  readonly uid: string
  readonly resourceVersion: string
}

/** Query parameters and body say the same things; the body wins, as in the real server. */
export function deleteOptions(query: URLSearchParams, body: JsonObject): DeleteOptions {
  const grace = numberAt(body, 'gracePeriodSeconds') ?? numberOf(query.get('gracePeriodSeconds'))
  if (grace !== undefined && (!Number.isInteger(grace) || grace < 0))
    throw badRequest(`gracePeriodSeconds must be a non-negative integer, got ${grace}`)
  const preconditions = isJsonObject(body['preconditions']) ? body['preconditions'] : {}
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    propagation: propagationOf(query, body),
    uid: text(preconditions, 'uid'),
    resourceVersion: text(preconditions, 'resourceVersion'),
  }
}

function numberOf(value: string | null): number | undefined {
  return value === null || value === '' ? undefined : Number(value)
}

function propagationOf(query: URLSearchParams, body: JsonObject): DeleteOptions['propagation'] {
  const asked = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined
  if (asked === undefined || asked === '') return body['orphanDependents'] === true ? 'Orphan' : undefined
  if (asked === 'Background' || asked === 'Foreground' || asked === 'Orphan') return asked
  throw invalid({ group: 'meta.k8s.io', plural: '', kind: 'DeleteOptions' }, '', [
    {
      path: 'propagationPolicy',
      reason: 'FieldValueNotSupported',
      detail: 'supported values: "Background", "Foreground", "Orphan"',
      value: asked,
    },
  ])
}

/** Anything but `All` is refused: a client that means a rehearsal must not get the real thing. */
export function isDryRun(query: URLSearchParams, body: JsonObject): boolean {
  const asked = [...query.getAll('dryRun'), ...(Array.isArray(body['dryRun']) ? body['dryRun'] : [])]
  const unknown = asked.find((value) => value !== 'All' && value !== '')
  if (unknown !== undefined)
    throw invalid({ group: 'meta.k8s.io', plural: '', kind: 'DeleteOptions' }, '', [
      { path: 'dryRun', reason: 'FieldValueNotSupported', detail: 'supported values: "All"', value: unknown },
    ])
  return asked.includes('All')
}

/** The object when it is still there or its kind answers so, else a Status. */
export async function removeObject(scope: Scope, options: DeleteOptions): Promise<ApiObject | Status> {
  const { context, kind, version, info } = scope
  const key = keyOf(info.namespace, info.name)
  const asked = context.store.get(kind.storageKey, key)
  if (asked === undefined) throw notFound(subjectOf(scope), info.name)
  const old = present(kind, version, asked)
  await validated(scope, { operation: 'DELETE', subresource: '', object: undefined, old })
  // What webhooks were asked about may have changed; preconditions hold for what is there now.
  const stored = context.store.get(kind.storageKey, key)
  if (stored === undefined) throw notFound(subjectOf(scope), info.name)
  checkPreconditions(scope, options, stored)
  kind.rules.admitDelete?.(stored, ruleContext(scope))
  const { object, held } = marked(scope, stored, options)
  if (held) return present(kind, version, commit(scope, key, object, stored))
  const removed = scope.dryRun ? stored : context.store.remove(kind.storageKey, key, stored)
  if (!scope.dryRun) {
    refreshQuotas(context.store, removed.metadata.namespace)
    kind.rules.removed?.(removed, ruleContext(scope))
  }
  if (kind.returnsDeleted === true) return present(kind, version, object)
  return success({
    name: nameOf(stored),
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.plural,
    ...(stored.metadata.uid === undefined ? {} : { uid: stored.metadata.uid }),
  })
}

/** A controller deletes the object it saw, not a namesake made since. */
function checkPreconditions(scope: Scope, options: DeleteOptions, stored: ApiObject): void {
  const { uid, resourceVersion } = stored.metadata
  const fail = (field: string, asked: string, found: string | undefined): never => {
    throw conflict(
      subjectOf(scope),
      scope.info.name,
      `Precondition failed: ${field} in precondition: ${asked}, ${field} in object meta: ${found}`,
    )
  }
  if (options.uid !== '' && options.uid !== uid) fail('UID', options.uid, uid)
  if (options.resourceVersion !== '' && options.resourceVersion !== resourceVersion)
    fail('ResourceVersion', options.resourceVersion, resourceVersion)
}

/** The object as it waits for its end, and whether anything makes it wait. */
function marked(scope: Scope, stored: ApiObject, options: DeleteOptions): { object: ApiObject; held: boolean } {
  const now = scope.context.clock.now()
  const finalizers = withPropagation(stored.metadata.finalizers ?? [], options.propagation)
  const grace = graceOf(scope.kind, stored, options.gracePeriodSeconds)
  const earlier = stored.metadata.deletionTimestamp
  // A later DELETE may shorten the grace period, never lengthen it.
  const shortens = earlier === undefined || grace < (stored.metadata.deletionGracePeriodSeconds ?? 0)
  const seconds = shortens ? grace : (stored.metadata.deletionGracePeriodSeconds ?? 0)
  const metadata = {
    ...stored.metadata,
    ...(finalizers.length === 0 ? {} : { finalizers }),
    ...(shortens ? { deletionTimestamp: timestamp(now + grace * 1000), deletionGracePeriodSeconds: grace } : {}),
    ...(earlier === undefined && scope.kind.generation ? { generation: (stored.metadata.generation ?? 0) + 1 } : {}),
  }
  const object: ApiObject = { ...stored, metadata }
  if (stored.kind === 'Namespace' && scope.kind.group === '')
    object['status'] = { ...(stored['status'] as JsonObject | undefined), phase: 'Terminating' }
  return { object, held: finalizers.length > 0 || seconds > 0 || heldBySpec(stored).length > 0 }
}

/** Only pods take time to end; everything else goes at once. */
function graceOf(kind: Kind, stored: ApiObject, asked: number | undefined): number {
  return kind.gracefulDeletion?.(stored, asked) ?? 0
}

/** Orphan and Foreground are finalizers that the garbage collector removes when it has done its part. */
function withPropagation(finalizers: readonly string[], propagation: DeleteOptions['propagation']): string[] {
  const others = finalizers.filter((name) => name !== 'orphan' && name !== 'foregroundDeletion')
  if (propagation === 'Orphan') return [...others, 'orphan']
  if (propagation === 'Foreground') return [...others, 'foregroundDeletion']
  return propagation === 'Background' ? others : [...finalizers]
}
