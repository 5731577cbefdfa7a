/**
 * The webhook configurations of a mesh, as `install` first writes them and as the control plane keeps them once it can
 * answer. Decision 0014 says which of them fail closed and why.
 */
import { LABELS, SYSTEM_ACCOUNTS, SYSTEM_NAMESPACE } from '../model/names.ts'
import { PORTS } from '../model/ports.ts'
import { SIDECAR_CONTAINER } from './inject.ts'
import type { Webhook, WebhookConfiguration } from './kinds/admission.ts'

export const WEBHOOK_CONFIGURATION = 'isthmus'
export const VALIDATE_PATH = '/validate'
/** Which label asked for the sidecar: the namespace's or the pod's. */
export const INJECT_PATHS = { namespace: '/inject/namespace', pod: '/inject/pod' } as const

/** An answer takes milliseconds; an API server that waits longer waits for one that is away. */
const TIMEOUT_SECONDS = 5

/** Kinds that somebody relies on for protection must not be stored unjudged. */
const CLOSED_GROUPS = ['isthmus.dev', 'security.istio.io'] as const
/** A dead control plane must not stop a rollout; the observer judges these by the same rules when it is back. */
const OPEN_GROUPS = [
  'networking.istio.io',
  'telemetry.istio.io',
  'extensions.istio.io',
  'gateway.networking.k8s.io',
] as const

/** `caBundle` (PEM) once someone answers; without it nothing may depend on an answer. */
export function webhookConfigurations(caBundle?: string): {
  readonly validating: WebhookConfiguration
  readonly mutating: WebhookConfiguration
} {
  const hook = hookWith(caBundle)
  return {
    validating: configuration('ValidatingWebhookConfiguration', [
      hook('policies.validate.isthmus.dev', VALIDATE_PATH, {
        ...writesOf(CLOSED_GROUPS),
        failurePolicy: 'Fail',
        // Federation goes on while the control plane is away.
        matchConditions: [NOT_OURS],
      }),
      hook('traffic.validate.isthmus.dev', VALIDATE_PATH, {
        ...writesOf(OPEN_GROUPS),
        failurePolicy: 'Ignore',
        matchConditions: [NOT_OURS],
      }),
    ]),
    mutating: configuration('MutatingWebhookConfiguration', [
      hook('namespace.inject.isthmus.dev', INJECT_PATHS.namespace, {
        ...POD_CREATION,
        namespaceSelector: { matchExpressions: [label(LABELS.injectNamespace, 'In', ['enabled']), NOT_SYSTEM] },
        objectSelector: { matchExpressions: [label(LABELS.injectPod, 'NotIn', ['false'])] },
      }),
      hook('pod.inject.isthmus.dev', INJECT_PATHS.pod, {
        ...POD_CREATION,
        namespaceSelector: {
          matchExpressions: [label(LABELS.injectNamespace, 'NotIn', ['enabled', 'disabled']), NOT_SYSTEM],
        },
        objectSelector: { matchExpressions: [label(LABELS.injectPod, 'In', ['true'])] },
      }),
    ]),
  }
}

type HookParts = Partial<Omit<Webhook, 'name' | 'clientConfig'>>

const hookWith =
  (caBundle: string | undefined) =>
  (name: string, path: string, parts: HookParts): Webhook => ({
    name,
    clientConfig: {
      service: { namespace: SYSTEM_NAMESPACE, name: SYSTEM_ACCOUNTS.controlPlane, path, port: PORTS.webhook },
      ...(caBundle === undefined ? {} : { caBundle: Buffer.from(caBundle).toString('base64') }),
    },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    matchPolicy: 'Equivalent',
    timeoutSeconds: TIMEOUT_SECONDS,
    ...parts,
    ...(caBundle === undefined ? { failurePolicy: 'Ignore' as const } : {}),
  })

const NOT_OURS = {
  name: 'not-the-mesh-itself',
  expression: `!request.userInfo.username.startsWith('system:serviceaccount:${SYSTEM_NAMESPACE}:')`,
}

const writesOf = (apiGroups: readonly string[]): HookParts => ({
  rules: [
    { operations: ['CREATE', 'UPDATE'], apiGroups: [...apiGroups], apiVersions: ['*'], resources: ['*'], scope: '*' },
  ],
})

/** A pod that a mesh with STRICT peers needs a sidecar for is worth nothing without one: as Istio, closed. */
const POD_CREATION: HookParts = {
  rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], scope: 'Namespaced' }],
  failurePolicy: 'Fail',
  // Where the local node has injected it already nobody need be asked.
  matchConditions: [
    { name: 'no-sidecar-yet', expression: `!object.spec.containers.exists(c, c.name == '${SIDECAR_CONTAINER}')` },
  ],
}

const label = (
  key: string,
  operator: 'In' | 'NotIn',
  values: string[],
): { key: string; operator: 'In' | 'NotIn'; values: string[] } => ({ key, operator, values })

/** The control plane's own pods could never start if they waited for it. */
const NOT_SYSTEM = label('kubernetes.io/metadata.name', 'NotIn', [
  SYSTEM_NAMESPACE,
  'kube-system',
  'kube-public',
  'kube-node-lease',
])

function configuration(kind: string, webhooks: Webhook[]): WebhookConfiguration {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name: WEBHOOK_CONFIGURATION, labels: { 'app.kubernetes.io/part-of': 'isthmus' } },
    webhooks,
  }
}
