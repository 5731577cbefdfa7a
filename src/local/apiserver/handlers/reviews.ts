/**
 * The questions one asks by POST: who am I, may I, whose token is this. Nothing is stored. ServiceAccount tokens are
 * issued here too, bound to audience, lifetime and pod.
 */
import { aggregatedAttributes } from './review-attributes.ts'
import { rulesOf } from '../auth/rbac.ts'
import type { User } from '../auth/user.ts'
import { child, keyOf, numberAt, text, texts, type ApiObject, type JsonObject } from '../object.ts'
import { ApiError, badRequest, invalid, notFound } from '../status.ts'
import { authenticateToken } from './authentication.ts'
import { subjectOf, type Scope } from './scope.ts'

type Review = (scope: Scope, object: ApiObject) => JsonObject

/** By plural; the result is the review's status. */
export const REVIEWS: Readonly<Record<string, Review>> = {
  tokenreviews: reviewToken,
  selfsubjectreviews: (scope) => ({ userInfo: userInfo(scope.user) }),
  selfsubjectaccessreviews: (scope, object) => decide(scope, scope.user, child(object, 'spec')),
  subjectaccessreviews: (scope, object) => decide(scope, subjectUser(child(object, 'spec')), child(object, 'spec')),
  localsubjectaccessreviews: reviewLocally,
  selfsubjectrulesreviews: reviewRules,
}

export function answerReview(scope: Scope, object: ApiObject): ApiObject {
  const review = REVIEWS[scope.kind.plural]
  if (review === undefined) throw badRequest(`${scope.kind.plural} cannot be reviewed`)
  return { ...object, status: review(scope, object) }
}

/** A bad token is an answer, not an error: the reviewer asked about it. */
function reviewToken(scope: Scope, object: ApiObject): JsonObject {
  const token = text(object['spec'], 'token')
  const audiences = texts(object['spec'], 'audiences')
  const result = authenticateToken(scope.context, token, audiences)
  if ('error' in result) return { authenticated: false, user: {}, error: result.error }
  return { authenticated: true, user: userInfo(result.user), audiences: result.audiences }
}

function userInfo(user: User): JsonObject {
  return {
    username: user.username,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  }
}

/** The reviewer vouches for user and groups; nothing is looked up. */
function subjectUser(spec: JsonObject): User {
  const username = text(spec, 'user')
  const groups = texts(spec, 'groups')
  if (username === '' && groups.length === 0)
    throw badRequest('spec.user: at least one of user or group must be specified')
  return { username, groups }
}

function decide(scope: Scope, user: User, spec: JsonObject): JsonObject {
  const attributes = aggregatedAttributes(spec)
  const { allowed, reason } = scope.context.authorize(user, attributes)
  return { allowed, ...(reason === '' ? {} : { reason }) }
}

/** The form that a namespace administrator may be allowed to post. */
function reviewLocally(scope: Scope, object: ApiObject): JsonObject {
  const spec = child(object, 'spec')
  if (text(spec['resourceAttributes'], 'namespace') !== scope.info.namespace)
    throw badRequest('spec.resourceAttributes.namespace: must match the namespace of the request')
  return decide(scope, subjectUser(spec), spec)
}

function reviewRules(scope: Scope, object: ApiObject): JsonObject {
  const rules = rulesOf(scope.user, text(object['spec'], 'namespace'), scope.context.rbac())
  return {
    resourceRules: rules.filter((rule) => rule.resources !== undefined),
    nonResourceRules: rules.filter((rule) => rule.nonResourceURLs !== undefined),
    incomplete: false,
  }
}

const TOKEN_SECONDS_DEFAULT = 3600
const TOKEN_SECONDS_MIN = 600
const TOKEN_SECONDS_MAX = 2 ** 32

/** POST serviceaccounts/<name>/token. */
export function issueToken(scope: Scope, request: JsonObject): JsonObject {
  const { context, info } = scope
  const account = context.store.get('serviceaccounts', keyOf(info.namespace, info.name))
  if (account === undefined) throw notFound(subjectOf(scope), info.name)
  const spec = child(request, 'spec')
  const expirationSeconds = numberAt(spec, 'expirationSeconds') ?? TOKEN_SECONDS_DEFAULT
  checkLifetime(info.name, expirationSeconds)
  const boundPod = boundPodOf(scope, child(spec, 'boundObjectRef'))
  const audiences = texts(spec, 'audiences')
  const { token, expirationTimestamp } = context.tokens.issue({
    namespace: info.namespace,
    serviceAccount: info.name,
    serviceAccountUid: account.metadata.uid ?? '',
    audiences,
    expirationSeconds,
    ...(boundPod === undefined ? {} : { boundPod }),
  })
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: info.name, namespace: info.namespace, creationTimestamp: null },
    spec: { ...spec, audiences, expirationSeconds },
    status: { token, expirationTimestamp },
  }
}

/** Shorter than ten minutes would not survive the clock skew and retries of real clusters. */
function checkLifetime(name: string, seconds: number): void {
  if (seconds >= TOKEN_SECONDS_MIN && seconds <= TOKEN_SECONDS_MAX) return
  const detail =
    seconds < TOKEN_SECONDS_MIN
      ? 'may not specify a duration less than 10 minutes'
      : 'may not specify a duration larger than 2^32 seconds'
  throw invalid({ group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' }, name, [
    { path: 'spec.expirationSeconds', reason: 'FieldValueInvalid', detail, value: seconds },
  ])
}

/** Only a pod that runs as the account may lend it its life. */
function boundPodOf(scope: Scope, ref: JsonObject): { name: string; uid: string } | undefined {
  const [kind, name, uid] = [text(ref, 'kind'), text(ref, 'name'), text(ref, 'uid')]
  if (kind === '') return undefined
  if (kind !== 'Pod')
    throw badRequest(
      `cannot bind token for serviceaccount "${scope.info.name}" to an object of kind ${kind}: this server binds tokens to pods only`,
    )
  const pods = { group: '', plural: 'pods', kind: 'Pod' }
  const pod = scope.context.store.get('pods', keyOf(scope.info.namespace, name))
  if (pod === undefined) throw notFound(pods, name)
  if (text(pod['spec'], 'serviceAccountName') !== scope.info.name)
    throw badRequest(
      `cannot bind token for serviceaccount "${scope.info.name}" to pod "${name}" running with different serviceaccount name.`,
    )
  if (uid !== '' && uid !== pod.metadata.uid)
    throw new ApiError(
      409,
      'Conflict',
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      { name, kind: 'pods' },
    )
  return { name, uid: pod.metadata.uid ?? '' }
}
