/**
 * authentication.k8s.io/v1: TokenReview (who is this bearer?) and TokenRequest (a token for a ServiceAccount). Both are
 * questions, not stored objects: they have no Resource and go through `KubeClient.raw` or the functions here.
 */
import type { KubeClient } from '../client.ts'

export interface TokenReview {
  apiVersion: 'authentication.k8s.io/v1'
  kind: 'TokenReview'
  metadata?: Record<string, unknown>
  spec: { token: string; audiences?: string[] }
  status?: TokenReviewStatus
}

export interface TokenReviewStatus {
  authenticated?: boolean
  /** The asked audiences that the token is valid for; an absent list means the server ignored the question. */
  audiences?: string[]
  error?: string
  user?: UserInfo
}

export interface UserInfo {
  username?: string
  uid?: string
  groups?: string[]
  /** Bound tokens carry `authentication.kubernetes.io/pod-name` and `…/pod-uid`. */
  extra?: Record<string, string[]>
}

export const POD_NAME_EXTRA = 'authentication.kubernetes.io/pod-name'
export const POD_UID_EXTRA = 'authentication.kubernetes.io/pod-uid'

const TOKEN_REVIEW_PATH = '/apis/authentication.k8s.io/v1/tokenreviews'

export interface TokenRequest {
  apiVersion: 'authentication.k8s.io/v1'
  kind: 'TokenRequest'
  metadata?: Record<string, unknown>
  spec: {
    audiences?: string[]
    expirationSeconds?: number
    boundObjectRef?: { apiVersion?: string; kind: 'Pod' | 'Secret' | 'Node'; name: string; uid?: string }
  }
  status?: { token: string; expirationTimestamp: string }
}

export const tokenRequestPath = (namespace: string, serviceAccount: string): string =>
  `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`

/** Asks the API server who holds the token; the caller checks `authenticated`, `audiences` and the bound pod. */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
): Promise<TokenReviewStatus> {
  const review: TokenReview = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences: [...audiences] },
  }
  const answer = await client.raw<TokenReview>({ method: 'POST', path: TOKEN_REVIEW_PATH, body: review })
  return answer.status ?? {}
}
