/** admissionregistration.k8s.io/v1 and admission.k8s.io/v1: who is asked before an object is stored, and how. */
import type { KubeObject, Resource } from '../object.ts'
import type { LabelSelector } from './apps.ts'
import type { UserInfo } from './authentication.ts'

export interface WebhookConfiguration extends KubeObject {
  webhooks?: Webhook[]
}

export interface Webhook {
  name: string
  clientConfig: WebhookClientConfig
  rules?: WebhookRule[]
  failurePolicy?: 'Fail' | 'Ignore'
  matchPolicy?: 'Exact' | 'Equivalent'
  namespaceSelector?: LabelSelector
  objectSelector?: LabelSelector
  sideEffects: 'None' | 'NoneOnDryRun' | 'Some' | 'Unknown'
  timeoutSeconds?: number
  admissionReviewVersions: string[]
  matchConditions?: { name: string; expression: string }[]
  /** Of mutating ones. */
  reinvocationPolicy?: 'Never' | 'IfNeeded'
}

export interface WebhookClientConfig {
  url?: string
  service?: { namespace: string; name: string; path?: string; port?: number }
  /** PEM in base64. */
  caBundle?: string
}

export interface WebhookRule {
  operations?: ('CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT' | '*')[]
  apiGroups?: string[]
  apiVersions?: string[]
  resources?: string[]
  scope?: 'Cluster' | 'Namespaced' | '*'
}

const configurations = (kind: string, plural: string): Resource<WebhookConfiguration> => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced: false,
})

export const VALIDATING_WEBHOOKS = configurations('ValidatingWebhookConfiguration', 'validatingwebhookconfigurations')
export const MUTATING_WEBHOOKS = configurations('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations')

export interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

export interface GroupVersionResource {
  readonly group: string
  readonly version: string
  readonly resource: string
}

export type AdmissionOperation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

export interface AdmissionRequest {
  readonly uid: string
  readonly kind: GroupVersionKind
  readonly resource: GroupVersionResource
  readonly subResource?: string
  readonly requestKind?: GroupVersionKind
  readonly requestResource?: GroupVersionResource
  readonly requestSubResource?: string
  readonly name?: string
  readonly namespace?: string
  readonly operation: AdmissionOperation
  readonly userInfo: UserInfo
  readonly object?: KubeObject | null
  readonly oldObject?: KubeObject | null
  readonly dryRun?: boolean
  readonly options?: unknown
}

export interface AdmissionResponse {
  readonly uid: string
  readonly allowed: boolean
  readonly status?: { readonly code?: number; readonly reason?: string; readonly message?: string }
  readonly patchType?: 'JSONPatch'
  /** JSON patch in base64. */
  readonly patch?: string
  readonly warnings?: readonly string[]
}

export interface AdmissionReview {
  readonly apiVersion: 'admission.k8s.io/v1'
  readonly kind: 'AdmissionReview'
  readonly request?: AdmissionRequest
  readonly response?: AdmissionResponse
}
