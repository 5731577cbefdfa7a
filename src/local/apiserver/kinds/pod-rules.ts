/**
 * Pods: defaults, the ServiceAccount admission that real clusters run (account, token volume), what may change after
 * creation, and graceful deletion, which ends when the node agent deletes with a grace period of 0.
 */
import { isDeepStrictEqual } from 'node:util'
import type { FieldError } from '../crd/structural.ts'
import {
  child,
  children,
  ensureChild,
  keyOf,
  nameOf,
  numberAt,
  setDefault,
  text,
  type ApiObject,
  type JsonObject,
} from '../object.ts'
import { forbidden } from '../status.ts'
import { resolvePriority } from './cluster-rules.ts'
import type { KindRules, RuleContext } from './kind.ts'
import { generateName } from './names.ts'
import { defaultPodSpec } from './pod-defaults.ts'
import { forbiddenField, validatePodSpec } from './pod-validation.ts'

const SUBJECT = { group: '', plural: 'pods', kind: 'Pod' }
const TOKEN_MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** A little over an hour, so that kubelets renew before clients that cache for an hour notice. */
const API_TOKEN_SECONDS = 3607
const DEFAULT_GRACE_SECONDS = 30

/** Status too: a pod is Pending from its first moment, before any node knows of it. */
function defaults(pod: ApiObject): void {
  const spec = ensureChild(pod, 'spec')
  defaultPodSpec(spec)
  setDefault(spec, 'enableServiceLinks', true)
  const status = ensureChild(pod, 'status')
  setDefault(status, 'phase', 'Pending')
  setDefault(status, 'qosClass', qosClass(spec))
}

/** Derived once on creation, since requests and limits cannot change afterwards. */
function qosClass(spec: JsonObject): string {
  const containers = [...children(spec, 'containers'), ...children(spec, 'initContainers')]
  const resources = containers.map((container) => child(container, 'resources'))
  const isEmpty = (entry: JsonObject): boolean =>
    Object.keys(child(entry, 'requests')).length === 0 && Object.keys(child(entry, 'limits')).length === 0
  if (resources.every(isEmpty)) return 'BestEffort'
  const guaranteed = resources.every((entry) => {
    const limits = child(entry, 'limits')
    const requests = Object.keys(child(entry, 'requests')).length === 0 ? limits : child(entry, 'requests')
    return limits['cpu'] !== undefined && limits['memory'] !== undefined && isDeepStrictEqual(requests, limits)
  })
  return guaranteed ? 'Guaranteed' : 'Burstable'
}

function validate(pod: ApiObject, old: ApiObject | undefined): FieldError[] {
  if (old !== undefined) return changeErrors(child(pod, 'spec'), child(old, 'spec'))
  return validatePodSpec('spec', child(pod, 'spec'))
}

/** Only images, the deadline and tolerations may change; everything else needs another pod. */
function changeErrors(spec: JsonObject, old: JsonObject): FieldError[] {
  const images = (list: string): JsonObject[] =>
    children(spec, list).map((container, index) =>
      Object.assign({}, container, { image: children(old, list)[index]?.['image'] }),
    )
  const comparable: JsonObject = { ...spec, containers: images('containers') }
  if (spec['initContainers'] !== undefined) comparable['initContainers'] = images('initContainers')
  for (const field of ['activeDeadlineSeconds', 'tolerations']) {
    delete comparable[field]
    if (old[field] !== undefined) comparable[field] = old[field]
  }
  if (isDeepStrictEqual(comparable, old)) return []
  const detail =
    'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)'
  const hint = spec['nodeName'] === old['nodeName'] ? '' : ' (a pod gets its node by POST to pods/<name>/binding)'
  return [forbiddenField('spec', detail + hint)]
}

/** The ServiceAccount admission of real clusters: who forgets the account learns it here and not in production. */
function prepare(pod: ApiObject, context: RuleContext): void {
  mutate(pod, context)
  const spec = ensureChild(pod, 'spec')
  resolvePriority(pod, spec, context)
  setDefault(spec, 'serviceAccountName', 'default')
  spec['serviceAccount'] = spec['serviceAccountName']
  const name = text(spec, 'serviceAccountName')
  const namespace = pod.metadata.namespace ?? ''
  const account = context.store.get('serviceaccounts', keyOf(namespace, name))
  if (account === undefined)
    throw forbidden(
      SUBJECT,
      nameOf(pod),
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    )
  const automount = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true
  if (automount === true) mountToken(spec, context)
}

/** Before the token volume: real servers run their own admission again over what webhooks added. */
function mutate(pod: ApiObject, context: RuleContext): void {
  const namespace = context.store.get('namespaces', pod.metadata.namespace ?? '')
  const mutated = namespace === undefined ? undefined : context.mutatePod?.(structuredClone(pod), namespace)
  if (mutated === undefined) return
  Object.assign(pod, mutated)
  defaults(pod)
  // The containers that were added count too.
  ensureChild(pod, 'status')['qosClass'] = qosClass(ensureChild(pod, 'spec'))
}

/** The volume through which programs in the pod speak to the API server, unless the pod brings its own. */
function mountToken(spec: JsonObject, context: RuleContext): void {
  const lists = ['initContainers', 'containers'].map((list) => children(spec, list))
  const lacking = lists
    .flat()
    .filter((container) => !children(container, 'volumeMounts').some((mount) => mount['mountPath'] === TOKEN_MOUNT))
  if (lacking.length === 0) return
  const name = generateName('kube-api-access-', () => context.random.next())
  spec['volumes'] = [...children(spec, 'volumes'), tokenVolume(name)]
  for (const container of lacking)
    container['volumeMounts'] = [
      ...children(container, 'volumeMounts'),
      { name, readOnly: true, mountPath: TOKEN_MOUNT },
    ]
}

function tokenVolume(name: string): JsonObject {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: API_TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  }
}

export const POD_RULES: KindRules = { defaults, prepare, validate }

/** A pod that never reached a node, or has ended, has nothing to wait for. */
export function podGraceSeconds(pod: ApiObject, asked: number | undefined): number {
  const phase = text(pod['status'], 'phase')
  if (text(pod['spec'], 'nodeName') === '' || phase === 'Failed' || phase === 'Succeeded') return 0
  return asked ?? numberAt(pod['spec'], 'terminationGracePeriodSeconds') ?? DEFAULT_GRACE_SECONDS
}
