/**
 * Asks webhooks before a write: mutating ones in turn, each seeing what the one before made of the object, then validating
 * ones together. A webhook that does not answer is passed over or refuses, as its failurePolicy says (reference k8s-wire,
 * section 7). Requests without a matching webhook are never held up.
 */
import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { AdmissionRequest, AdmissionResponse, AdmissionReview } from '../../../kube/kinds/admission.ts'
import { CelError } from '../../../kube/cel/expression.ts'
import type { KubeObject } from '../../../kube/object.ts'
import { messageOf } from '../../../runtime/errors.ts'
import { apiVersionOf, type Kind, type KindVersion, present } from '../kinds/kind.ts'
import type { ApiObject } from '../object.ts'
import { isJsonObject } from '../object.ts'
import { applyJsonPatch } from '../patch/json-patch.ts'
import { ApiError, badRequest, internal } from '../status.ts'
import type { Scope } from '../handlers/scope.ts'
import { callWebhook, CallError } from './call.ts'
import { type Hook, type HookKind, hooksOf } from './hooks.ts'
import { type Attempt, conditionsHold, matchingVersion } from './matching.ts'
import { judgePolicies } from './policies.ts'

/** What is about to be written; objects in the version of the request. */
export interface Write {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE'
  readonly subresource: string
  readonly object: ApiObject | undefined
  readonly old: ApiObject | undefined
}

const TIMEOUT_SECONDS = 10
const WARNING_CHARS_MAX = 256

/** Configurations of webhooks are never subject to webhooks: a broken one could not be removed. */
const EXEMPT_GROUP = 'admissionregistration.k8s.io'

interface Asked {
  readonly hook: Hook
  readonly version: KindVersion
}

/** Those whose rules and selectors match; conditions are judged when each is asked. */
function askedBy(scope: Scope, kind: HookKind, write: Write): readonly Asked[] {
  if (scope.kind.group === EXEMPT_GROUP) return []
  const hooks = hooksOf(scope.context.store, kind)
  if (hooks.length === 0) return []
  const attempt = attemptOf(scope, write)
  return hooks.flatMap((hook) => {
    const version = matchingVersion(hook, attempt)
    return version === undefined ? [] : [{ hook, version }]
  })
}

function attemptOf({ kind, version, info, context }: Scope, write: Write): Attempt {
  const namespace = kind.namespaced ? context.store.get('namespaces', info.namespace) : undefined
  return {
    kind,
    version,
    ...write,
    namespace: info.namespace,
    name: write.object?.metadata.name ?? info.name,
    namespaceLabels: namespace?.metadata.labels ?? {},
  }
}

/** The object as mutating webhooks want it, or the very same when none had anything to say. */
export async function mutated(scope: Scope, write: Write & { readonly object: ApiObject }): Promise<ApiObject> {
  let { object } = write
  const first = await round(scope, write, object, askedBy(scope, 'mutating', write))
  object = first.object
  // Once more those who asked for it and were followed by somebody who changed the object.
  const again = first.outdated.filter(({ hook }) => hook.webhook.reinvocationPolicy === 'IfNeeded')
  if (again.length > 0) object = (await round(scope, write, object, again)).object
  return object
}

// oxlint-disable-next-line max-params -- one round of questions
async function round(
  scope: Scope,
  write: Write,
  start: ApiObject,
  asked: readonly Asked[],
): Promise<{ readonly object: ApiObject; readonly outdated: readonly Asked[] }> {
  let object = start
  const outdated = new Set<Asked>()
  const before: Asked[] = []
  for (const one of asked) {
    const response = await ask(scope, { ...write, object }, one)
    const next = response?.patch === undefined ? object : patched(scope, one, object, response)
    if (!isDeepStrictEqual(next, object)) {
      for (const earlier of before) outdated.add(earlier)
      object = next
    }
    before.push(one)
  }
  return { object, outdated: [...outdated] }
}

// oxlint-disable-next-line max-params -- whose patch, to what
function patched(scope: Scope, { hook, version }: Asked, object: ApiObject, response: AdmissionResponse): ApiObject {
  const { name } = hook.webhook
  try {
    const operations: unknown = JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString('utf8'))
    const result = applyJsonPatch(structuredClone(shown(scope.kind, version, object)), operations)
    if (!isJsonObject(result['metadata'])) throw new Error('it removes metadata')
    return shown(scope.kind, scope.version, result as ApiObject)
  } catch (error) {
    throw internal(`the patch of webhook "${name}" cannot be applied: ${messageOf(error)}`)
  }
}

/** Throws the first refusal: policies are judged here, webhooks are asked all at once. */
export async function validated(scope: Scope, write: Write): Promise<void> {
  if (scope.kind.group !== EXEMPT_GROUP)
    judgePolicies(scope, attemptOf(scope, write), () => reviewOf(scope, write, scope.version).request ?? {})
  await Promise.all(askedBy(scope, 'validating', write).map((one) => ask(scope, write, one)))
}

/** undefined: not asked after all, or away and passed over. */
async function ask(scope: Scope, write: Write, { hook, version }: Asked): Promise<AdmissionResponse | undefined> {
  const { webhook } = hook
  const review = reviewOf(scope, write, version)
  try {
    if (!conditionsHold(hook, attemptOf(scope, write), review.request)) return undefined
    if (scope.dryRun && webhook.sideEffects !== 'None' && webhook.sideEffects !== 'NoneOnDryRun') {
      throw badRequest(`admission webhook "${webhook.name}" does not support dry run`)
    }
    const { store } = scope.context
    const timeoutSeconds = webhook.timeoutSeconds ?? TIMEOUT_SECONDS
    const response = await callWebhook(webhook.clientConfig, review, { store, timeoutSeconds })
    for (const warning of response.warnings ?? []) scope.warnings.push(warning.slice(0, WARNING_CHARS_MAX))
    if (!response.allowed) throw refusal(webhook.name, response)
    return response
  } catch (error) {
    if (!(error instanceof CallError || error instanceof CelError)) throw error
    const why = `failed calling webhook "${webhook.name}": ${error.message}`
    if (webhook.failurePolicy !== 'Ignore') throw internal(why)
    scope.context.log.warn(
      { webhook: webhook.name, reason: error.message },
      'a webhook did not answer and was passed over',
    )
    return undefined
  }
}

function refusal(name: string, { status }: AdmissionResponse): ApiError {
  const said = status?.message ?? ''
  const message = `admission webhook "${name}" denied the request${said === '' ? ' without explanation' : `: ${said}`}`
  return new ApiError(status?.code ?? 403, status?.reason ?? 'Forbidden', message, {})
}

function reviewOf(scope: Scope, { operation, subresource, object, old }: Write, version: KindVersion): AdmissionReview {
  const { kind, info, user, dryRun, version: asked } = scope
  const names = (of: KindVersion): Pick<AdmissionRequest, 'kind' | 'resource'> => ({
    kind: { group: kind.group, version: of.version, kind: kind.kind },
    resource: { group: kind.group, version: of.version, resource: kind.plural },
  })
  const requested = names(asked)
  const inVersion = (of: ApiObject | undefined): KubeObject | null =>
    of === undefined ? null : shown(kind, version, of)
  const request: AdmissionRequest = {
    uid: randomUUID(),
    ...names(version),
    requestKind: requested.kind,
    requestResource: requested.resource,
    ...(subresource === '' ? {} : { subResource: subresource, requestSubResource: subresource }),
    name: object?.metadata.name ?? info.name,
    ...(kind.namespaced ? { namespace: info.namespace } : {}),
    operation,
    userInfo: {
      username: user.username,
      groups: [...user.groups],
      ...(user.uid === undefined ? {} : { uid: user.uid }),
      ...(user.extra === undefined ? {} : { extra: mutableExtra(user.extra) }),
    },
    object: inVersion(object),
    oldObject: inVersion(old),
    dryRun,
    options: null,
  }
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request }
}

const mutableExtra = (extra: Readonly<Record<string, readonly string[]>>): Record<string, string[]> =>
  Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]]))

/** The versions of a definition differ in nothing but their name; built-in kinds have their own conversion. */
function shown(kind: Kind, version: KindVersion, object: ApiObject): ApiObject {
  const apiVersion = apiVersionOf(kind.group, version.version)
  if (object.apiVersion === apiVersion) return object
  return kind.custom ? { ...object, apiVersion } : present(kind, version, object)
}
